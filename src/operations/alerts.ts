import { randomUUID } from 'node:crypto';
import type { AlertChannel, AlertTarget, Heartbeat, Notice } from '../alerts/alert.ts';
import { deliver } from '../alerts/deliver.ts';
import { JetbackupError } from '../core/errors.ts';
import type { Clock } from '../platform/clock.ts';

export interface AlertDeps {
  readonly clock: Clock;
  readonly targets: readonly AlertTarget[];
  readonly heartbeats: readonly Heartbeat[];
  /** Name of this host. */
  readonly host: string;
}

export interface ChannelTest {
  readonly channel: string;
  readonly kind: 'channel' | 'heartbeat';
  /** Undefined: the receiver took it. */
  readonly error: JetbackupError | undefined;
  readonly ms: number;
}

/**
 * Sends a test notice through every channel whatever its filter, or through the named one, and a `log` to every heartbeat,
 * which changes nothing about the check there. What fails is in the result. Throws `usage` where there is no such channel.
 */
export async function testAlerts(
  { clock, targets, heartbeats, host }: AlertDeps,
  { channel }: { readonly channel: string | undefined },
  signal: AbortSignal,
): Promise<readonly ChannelTest[]> {
  const all = [
    ...targets.map((target) => ({ kind: 'channel', channel: target.channel }) as const),
    ...heartbeats.map((heartbeat) => ({ kind: 'heartbeat', channel: logging(heartbeat) }) as const),
  ];
  const meant = all.filter((one) => channel === undefined || one.channel.name === channel);
  if (meant.length === 0)
    throw nothingToTest(
      channel,
      all.map((one) => one.channel.name),
    );
  const notice = testNotice(clock, host);
  const deliveries = await deliver(
    clock,
    meant.map((one) => ({ channel: one.channel, notice })),
    signal,
  );
  return meant.flatMap(({ kind, channel: { name } }) => {
    const delivery = deliveries.find((one) => one.channel === name);
    return delivery === undefined ? [] : [{ channel: name, kind, error: delivery.error, ms: delivery.ms }];
  });
}

function logging(heartbeat: Heartbeat): AlertChannel {
  return { name: heartbeat.name, send: (notice, signal) => heartbeat.beat('log', { id: randomUUID(), text: notice.summary }, signal) };
}

function testNotice(clock: Clock, host: string): Notice {
  const at = clock.now().toString({ smallestUnit: 'millisecond' });
  const dedupKey = `jetbackup/test/${randomUUID()}`;
  return {
    id: dedupKey,
    kind: 'test',
    rule: 'test',
    database: null,
    subject: null,
    severity: 'info',
    summary: `a test of jetbackup on ${host}`,
    detail: ['Alerts of this installation arrive here. Nothing is wrong.'],
    dedupKey,
    since: at,
    at,
    hint: null,
  };
}

function nothingToTest(wanted: string | undefined, names: readonly string[]): JetbackupError {
  if (names.length === 0) {
    return new JetbackupError('usage', 'no alert is configured', {
      hint: 'Add one under "alerts:"; docs/CONFIGURATION.md shows each kind.',
    });
  }
  return new JetbackupError('usage', `there is no alert channel "${wanted ?? ''}"`, { hint: `Configured: ${names.join(', ')}.` });
}
