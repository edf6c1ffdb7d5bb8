import type { ErrorCode } from '../core/errors.ts';
import type { Profile } from '../core/verification.ts';
import type { Instant } from '../platform/clock.ts';

/**
 * What is known at one moment; the rules decide by nothing else. Everywhere `undefined` means "could not be told"
 * (the store gave no answer, nobody asked) and `null` "there is none". The difference matters: an incident whose
 * facts cannot be told stays open, it has not recovered.
 */
export interface Facts {
  readonly now: Instant;
  /** Every configured database. One that is missing here is no longer watched: what was open about it is closed. */
  readonly databases: readonly DatabaseFacts[];
  readonly repository?: RepositoryFacts | undefined;
  readonly keys?: KeyFacts | undefined;
  /** How the alert channels fare; `channelFacts` takes it out of the stored state. */
  readonly channels?: readonly ChannelFacts[] | undefined;
}

export interface DatabaseFacts {
  readonly name: string;
  readonly objectives: { readonly rpoMs?: number | undefined; readonly rtoMs?: number | undefined };
  /** Snapshot instant of the newest backup that exists and is authentic. */
  readonly newestPoint?: Instant | null | undefined;
  /** Snapshot instant of the newest backup whose proof holds. */
  readonly newestProven?: Instant | null | undefined;
  /** The last run of each kind; null where there was none. */
  readonly backup?: RunFact | null | undefined;
  readonly verify?: RunFact | null | undefined;
  readonly drill?: RunFact | null | undefined;
  readonly prune?: RunFact | null | undefined;
  /** Of the last verification or drill that measured it. */
  readonly rto?: { readonly seconds: number; readonly profile: Profile | null } | null | undefined;
  /** When the RTO is expected to pass its objective if the database grows as it did; null: not in sight. */
  readonly forecast?: { readonly atRiskAt: Instant | null } | undefined;
  /** The backup whose collapse has frozen retention. */
  readonly frozenBy?: string | null | undefined;
  /** The newest backup, where it has far less than those before it: what is left (0 to 1) of rows or of size. */
  readonly collapse?: { readonly backup: string; readonly of: 'rows' | 'size'; readonly share: number } | null | undefined;
  readonly schedule?: { readonly backup?: ScheduleFact | undefined; readonly drill?: ScheduleFact | undefined } | undefined;
}

export interface RunFact {
  readonly result: 'succeeded' | 'failed' | 'interrupted';
  readonly at: Instant;
  /** Of a run that failed. */
  readonly code?: ErrorCode | undefined;
  readonly message?: string | undefined;
  readonly hint?: string | undefined;
}

export interface ScheduleFact {
  readonly next?: Instant | undefined;
  /** Since when a run that was due has not begun; null: nothing is overdue. */
  readonly overdueSince: Instant | null;
}

export interface RepositoryFacts {
  /** Without credentials. */
  readonly location: string;
  readonly usedBytes?: number | undefined;
  /** Why nothing could be told by it. */
  readonly failure?: { readonly code: ErrorCode; readonly message: string } | undefined;
  /** Of the file system that holds a directory repository, and how much of it is taken, by whatever. Object stores have none. */
  readonly capacity?: { readonly bytes: number; readonly usedBytes: number } | null | undefined;
}

export interface KeyFacts {
  /** When somebody last proved that the identity in escrow opens a backup; null: never. */
  readonly escrowCheckedAt?: Instant | null | undefined;
  /** Keys that have a day on which they are to be replaced. */
  readonly rotations?: readonly { readonly key: string; readonly dueAt: Instant }[] | undefined;
}

export interface ChannelFacts {
  readonly name: string;
  /** Null: the last delivery went well. */
  readonly failure: {
    readonly since: Instant;
    readonly code: ErrorCode;
    readonly message: string;
    /** What failed is not sent again. */
    readonly settled: boolean;
  } | null;
}
