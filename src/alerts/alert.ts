import * as z from 'zod';
import { type BeatingOperation, isAtLeast, type RuleId, ruleIds, type Severity, severities } from '../core/alert.ts';

export const noticeKinds = ['trigger', 'repeat', 'acknowledge', 'resolve', 'test'] as const;

/**
 * One thing to tell somebody. Plain data, because what could not be delivered waits in the stored state.
 * `trigger` also tells that an open incident has become more severe; `repeat` that it still holds.
 */
export const NoticeSchema = z.strictObject({
  /** Stays the same however often it is sent: receivers that keep it can tell a retry from news. */
  id: z.string(),
  kind: z.enum(noticeKinds),
  rule: z.enum([...ruleIds, 'test']),
  database: z.string().nullable(),
  /** What it is about, where that is no database: the name of a channel. */
  subject: z.string().nullable(),
  /** Of a `resolve` the highest that was told, so that it goes wherever that went. */
  severity: z.enum(severities),
  /** One line, without a full stop. */
  summary: z.string(),
  detail: z.array(z.string()),
  /** The same for everything about one incident; receivers file by it. */
  dedupKey: z.string(),
  /** When the incident began, and when this notice was made. */
  since: z.iso.datetime(),
  at: z.iso.datetime(),
  /** What to type next. */
  hint: z.string().nullable(),
});
export type Notice = z.infer<typeof NoticeSchema>;

/**
 * Somewhere to send notices. `send` resolves once the receiver has taken the notice, and may have sent it more than
 * once by then: a receiver that was too slow to say so may have it twice. It tries again what may help. Throws
 * `alert-undelivered` (the receiver is down, slow or overloaded; `RetryLater` as the cause says until when to leave it
 * alone) or `alert-refused` (what is configured is wrong: it is not tried again at once). No error holds anything
 * of a URL but its host, and no key, password or answer of the receiver.
 */
export interface AlertChannel {
  readonly name: string;
  send(notice: Notice, signal: AbortSignal): Promise<void>;
}

/** What of all notices goes to a channel. Undefined lists mean everything. */
export interface AlertFilter {
  readonly severity: Severity;
  readonly rules: readonly RuleId[] | undefined;
  /** What is about no database (storage, keys) goes to every channel. */
  readonly databases: readonly string[] | undefined;
}

export interface AlertTarget {
  readonly channel: AlertChannel;
  readonly filter: AlertFilter;
}

/** Whether a channel is to have the notice. What is about a channel itself goes to the others. */
export function wants({ channel, filter }: AlertTarget, notice: Notice): boolean {
  if (notice.rule === 'test') return true;
  if (notice.rule === 'alert-delivery' && notice.subject === channel.name) return false;
  if (!isAtLeast(notice.severity, filter.severity)) return false;
  if (filter.rules !== undefined && !filter.rules.includes(notice.rule)) return false;
  return notice.database === null || filter.databases === undefined || filter.databases.includes(notice.database);
}

export type Beat = 'start' | 'success' | 'fail' | 'log';

/**
 * Tells an outside monitor that runs happen: one that stays silent is noticed there, also when this host is dead.
 * `run` is a UUID that joins the start of a run with its end. Throws as `AlertChannel.send` does.
 */
export interface Heartbeat {
  readonly name: string;
  readonly operations: readonly BeatingOperation[];
  readonly databases: readonly string[] | undefined;
  beat(beat: Beat, run: { readonly id: string; readonly text: string }, signal: AbortSignal): Promise<void>;
}

/** The cause of an `alert-refused` that reached some of its receivers: to send it again would reach those twice. */
export class TakenInPart extends Error {
  override readonly name = 'TakenInPart';
}

/** The cause of an `alert-undelivered` whose receiver asked to be left alone for so long (ms). */
export class RetryLater extends Error {
  readonly afterMs: number;

  constructor(afterMs: number) {
    super(`the receiver asks to wait ${Math.ceil(afterMs / 1000)} s`);
    this.name = 'RetryLater';
    this.afterMs = afterMs;
  }
}

/** A value that is never printed; the configuration's `Secret` is one. */
export interface Sensitive {
  reveal(): string;
}
