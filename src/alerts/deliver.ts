import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { limitTo, orAborted } from '../platform/deadline.ts';
import type { AlertChannel, Notice } from './alert.ts';

export interface DeliveryJob {
  readonly channel: AlertChannel;
  readonly notice: Notice;
}

export interface Delivery {
  readonly channel: string;
  readonly notice: Notice;
  /** Undefined: the receiver has it. */
  readonly error: JetbackupError | undefined;
  readonly ms: number;
}

/** One channel may take so long over all its notices: the next round must not wait for the last. */
const CHANNEL_MS = 120_000;

/**
 * Sends everything, all channels at once, the notices of each in their order. A channel that hangs or fails holds up no
 * other, and once one of its notices cannot be delivered the rest is not tried: they would come out of order, and each
 * would take as long. Never throws for a delivery; throws the signal's reason.
 */
export async function deliver(
  clock: Clock,
  jobs: readonly DeliveryJob[],
  signal: AbortSignal,
  channelMs = CHANNEL_MS,
): Promise<Delivery[]> {
  const channels = Map.groupBy(jobs, ({ channel }) => channel);
  const done = await Promise.all(
    Array.from(channels, ([channel, own]) =>
      deliverInTime(
        clock,
        channel,
        own.map(({ notice }) => notice),
        channelMs,
        signal,
      ),
    ),
  );
  signal.throwIfAborted();
  return done.flat();
}

async function deliverInTime(
  clock: Clock,
  channel: AlertChannel,
  notices: readonly Notice[],
  ms: number,
  signal: AbortSignal,
): Promise<Delivery[]> {
  using limit = limitTo(clock, ms, {
    signal,
    late: () => new JetbackupError('alert-undelivered', `${channel.name} took longer than ${Math.round(ms / 1000)} s`),
  });
  const deliveries: Delivery[] = [];
  let failed: JetbackupError | undefined;
  for (const notice of notices) {
    const begun = clock.monotonicMs();
    const error = failed ?? (await attempt(channel, notice, limit.signal));
    if (error?.code === 'alert-undelivered') failed = error;
    deliveries.push({ channel: channel.name, notice, error, ms: Math.round(clock.monotonicMs() - begun) });
  }
  return deliveries;
}

async function attempt(channel: AlertChannel, notice: Notice, signal: AbortSignal): Promise<JetbackupError | undefined> {
  try {
    // Also of a channel that heeds no signal.
    await orAborted(channel.send(notice, signal), signal);
    return undefined;
  } catch (error) {
    if (isJetbackupError(error, 'alert-undelivered', 'alert-refused')) return error;
    // What else a channel throws is an error of its own, and must not keep the other channels from being heard.
    return new JetbackupError('alert-undelivered', `${channel.name} failed in a way that was not foreseen`, { cause: error });
  }
}
