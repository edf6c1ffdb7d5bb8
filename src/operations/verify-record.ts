import { isJetbackupError, isNewerFormat, type JetbackupError } from '../core/errors.ts';
import { artifactOf, type Manifest } from '../core/manifest.ts';
import type { CheckId, CheckRecord, SandboxRecord, Verification } from '../core/verification.ts';
import type { CheckResult } from '../verify/check.ts';
import type { RunDeps } from './run.ts';

/** What a check found, with what only whoever verifies may see. */
export interface CheckOutcome extends CheckRecord {
  readonly hint: string | undefined;
  readonly findings: readonly string[];
}

/** What is known so far; the run record tells as much, however the verification ends. */
export interface Found {
  manifest: Manifest | undefined;
  sandbox: SandboxRecord | null;
  readonly checks: CheckOutcome[];
  rtoSeconds: number | undefined;
  /** Spent on what a restore would not have to do: removing what others left, fetching an image. */
  asideMs: number;
}

/** A check that ends the verification: nothing after it could be looked at. */
export class Verdict extends Error {}

export interface Recorder {
  add(id: CheckId, result: CheckResult, ms?: number): void;
  /** Records the failure; to be thrown. */
  fails(id: CheckId, message: string, hint: string): Verdict;
  /** A step that passes with its message, or fails with what it throws where that is the backup's fault. */
  verdict<T>(
    id: CheckId,
    isItsFault: (error: unknown) => error is JetbackupError,
    work: () => Promise<{ value: T; message: string }>,
  ): Promise<T>;
  /** A part of the backup that has to open. */
  whole<T>(work: () => Promise<T>): Promise<T>;
}

/** Of a newer version's format nothing can be said. */
export const notAuthentic = (error: unknown): error is JetbackupError =>
  isJetbackupError(error, 'damaged', 'not-authentic') && !isNewerFormat(error);
export const damaged = (error: unknown): error is JetbackupError => isJetbackupError(error, 'damaged', 'storage-not-found');

/** Fills `found.checks`, and tells of each as it comes. */
export function recorder(deps: Pick<RunDeps, 'clock' | 'log'>, found: Found): Recorder {
  const { clock, log } = deps;
  const recorded: Recorder = {
    add(id, result, ms = 0) {
      const outcome: CheckOutcome = {
        ...{ id, status: result.status, message: result.message, ms: Math.round(ms) },
        hint: result.status === 'fail' ? result.hint : undefined,
        findings: result.findings ?? [],
      };
      found.checks.push(outcome);
      log({ type: 'note', text: `${id}: ${result.status === 'pass' ? '' : `${result.status}: `}${result.message}` });
    },
    fails(id, message, hint) {
      recorded.add(id, { status: 'fail', message, hint, findings: [] });
      return new Verdict();
    },
    async verdict(id, isItsFault, work) {
      const started = clock.monotonicMs();
      try {
        const { value, message } = await work();
        recorded.add(id, { status: 'pass', message }, clock.monotonicMs() - started);
        return value;
      } catch (error) {
        if (!isItsFault(error)) throw error;
        const hint = error.hint ?? 'Verify another backup: jetbackup list';
        recorded.add(id, { status: 'fail', message: error.message, hint, findings: [] }, clock.monotonicMs() - started);
        throw new Verdict();
      }
    },
    async whole(work) {
      try {
        return await work();
      } catch (error) {
        if (!notAuthentic(error)) throw error;
        throw recorded.fails('objects', error.message, error.hint ?? 'Verify another backup: jetbackup list');
      }
    },
  };
  return recorded;
}

export function recordOfCheck({ id, status, message, ms }: CheckOutcome): CheckRecord {
  return { id, status, message, ms };
}

/** For the run record. */
export function recordOf(
  jobs: number,
  { manifest, sandbox, checks }: Found,
  told: { readonly outcome: Verification['outcome']; readonly attached: boolean; readonly worstGapSeconds: number | null },
): Verification {
  const dump = manifest === undefined ? undefined : artifactOf(manifest, 'dump');
  return {
    ...told,
    ...{ sandbox, jobs, checks: checks.map(recordOfCheck) },
    snapshotInstant: manifest?.snapshotInstant ?? null,
    bytes:
      manifest === undefined || dump === undefined
        ? null
        : { dump: dump.plain.bytes, stored: dump.sealed.bytes, database: manifest.source.sizeBytes },
  };
}
