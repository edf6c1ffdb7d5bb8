import { Temporal } from 'temporal-polyfill';
import * as z from 'zod';
import { type Id, IdSchema } from '../../core/ids.ts';
import type { Instant } from '../../platform/clock.ts';
import { isAlive, type ProcessIdentity, shareProcessIds } from './process-identity.ts';

/** On every container, volume and network of ours; its value is the run's id. */
export const SANDBOX_LABEL = 'dev.jetbackup.sandbox';

const of = (what: string) => `${SANDBOX_LABEL}.${what}`;

/** Whose it is, and since when. */
export interface Ownership {
  readonly runId: Id;
  readonly owner: ProcessIdentity;
  readonly createdAt: Instant;
}

export function ownershipLabels({ runId, owner, createdAt }: Ownership): Record<string, string> {
  return {
    [SANDBOX_LABEL]: runId,
    [of('host')]: owner.host,
    [of('boot')]: owner.boot,
    [of('pid-namespace')]: owner.namespace,
    [of('pid')]: String(owner.pid),
    [of('process-start')]: owner.startTicks,
    [of('created')]: createdAt.toString({ smallestUnit: 'second' }),
  };
}

const LabelsSchema = z.object({
  [SANDBOX_LABEL]: IdSchema,
  [of('host')]: z.string(),
  [of('boot')]: z.string(),
  [of('pid-namespace')]: z.string(),
  [of('pid')]: z.string().regex(/^\d+$/),
  [of('process-start')]: z.string(),
  [of('created')]: z.iso.datetime(),
});

/** Undefined where the labels are not as we write them: then it is not for us to judge. */
export function readOwnership(labels: unknown): Ownership | undefined {
  const parsed = LabelsSchema.safeParse(labels);
  if (!parsed.success) return undefined;
  const label = (what: string) => parsed.data[of(what)] ?? '';
  return {
    runId: parsed.data[SANDBOX_LABEL] ?? '',
    owner: {
      ...{ host: label('host'), boot: label('boot'), namespace: label('pid-namespace') },
      ...{ pid: Number(label('pid')), startTicks: label('process-start') },
    },
    createdAt: Temporal.Instant.from(label('created')),
  };
}

/** Older than the longest verification: what nobody can be asked about any more is left by a dead run. */
const ABANDONED_HOURS = 48;

export interface Circumstances {
  readonly here: ProcessIdentity;
  readonly now: Instant;
  /** Its container is there and does not run, as after a new start of the machine, which no process of before can have lived through. */
  readonly isStopped: boolean;
  /** This process had a run of that id, and is through with it. */
  readonly hasEnded: boolean;
}

/** Why nobody needs it any more, in words; undefined where somebody does, or may. */
export async function whyLeftover(
  { owner, createdAt }: Ownership,
  { here, now, isStopped, hasEnded }: Circumstances,
): Promise<string | undefined> {
  // Only this process knows of its own runs: that it lives says nothing about them.
  if (hasEnded && shareProcessIds(owner, here) && owner.pid === here.pid) return 'its run has ended';
  if (shareProcessIds(owner, here)) return (await isAlive(owner)) ? undefined : `process ${owner.pid} is gone`;
  if (owner.host === here.host && owner.boot !== here.boot && isStopped) return 'the machine was started anew';
  const hours = now.since(createdAt).total('hours');
  return hours > ABANDONED_HOURS ? `made by ${owner.host === '' ? 'another host' : owner.host} more than two days ago` : undefined;
}
