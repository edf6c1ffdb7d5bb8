import type { Id } from '../core/ids.ts';
import type { Source } from '../core/manifest.ts';
import type { Profile, SandboxKind } from '../core/verification.ts';
import type { ConnectionSettings } from '../postgres/connection.ts';

export interface SandboxRequest {
  /** Of the verification; names and labels what is made. */
  readonly runId: Id;
  /** Major version of the server that the backup is of. */
  readonly major: number;
  readonly source: Source;
  /** Name for the first superuser of a server of our own: the source's own, so that what belongs to it is not somebody else's. */
  readonly superuser: string;
  readonly profile: Profile;
}

/** A throwaway PostgreSQL server, or a place on one. Disposing of it takes away everything that was made, whatever state it is in. */
export interface Sandbox extends AsyncDisposable {
  readonly kind: SandboxKind;
  /** For a person and the run record: `postgres:17 in a container`. Holds no secret. */
  readonly description: string;
  /** Null where the server's settings are not ours. */
  readonly profile: Profile | null;
  /** Whether the whole server is ours and goes afterwards: then roles may be made on it, and its user is a superuser. */
  readonly isOurs: boolean;
  /** Of its maintenance database. The password is in here and nowhere else. */
  readonly settings: ConnectionSettings;
  /**
   * Why the server cannot be worked with any more (it died, ran out of memory or disk, the engine is gone), in words;
   * undefined while all is well with it. Asked after a failure, to tell the sandbox's fault from the backup's.
   */
  trouble(signal?: AbortSignal): Promise<string | undefined>;
  /** Idempotent. Rejects where something is left, and says what and how to remove it by hand. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface SandboxProvider {
  readonly kind: SandboxKind;
  /**
   * Brings what a start needs and is not there yet, such as an image to pull, so that the time for it is nobody's recovery time. A
   * start without it brings it itself. Throws `sandbox-unavailable` as a start would, or the signal's reason.
   */
  fetch(request: Pick<SandboxRequest, 'major'>, signal: AbortSignal): Promise<void>;
  /**
   * Resolves once the server answers queries. Whatever was begun is gone again when it rejects, also on abort.
   * Throws `sandbox-unavailable` (no engine, no image, no server programs, no room: the hint says what to do), or the signal's reason.
   */
  start(request: SandboxRequest, signal: AbortSignal): Promise<Sandbox>;
  /**
   * Removes what killed runs of this host left, what the end of this process's own runs could not remove, and what runs of any host
   * left that is older than two days. Never touches what belongs to a live run. Returns what it removed, in words; throws `sandbox-unavailable` only where it cannot look.
   */
  sweep(signal: AbortSignal): Promise<readonly string[]>;
}
