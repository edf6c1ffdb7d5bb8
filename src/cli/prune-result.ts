import { Temporal } from 'temporal-polyfill';
import { isInstant, instantText as retentionInstant } from '../../retention/calendar.ts';
import { describeNote } from '../../retention/plan.ts';
import { limitsAnything } from '../../retention/policy.ts';
import { describeReason, type Reason } from '../../retention/reasons.ts';
import type { PrunedDatabase, PruneResult } from '../operations/prune.ts';
import type { RetentionInput } from '../operations/retention.ts';
import type { PruneSummary } from './json-retention.ts';
import { configureText, policyText } from './retention-words.ts';
import { bytesText, type Colors, counted, instantText, tableText } from './text.ts';

type Point = PrunedDatabase['deleted'][number];

export interface PruneView {
  readonly input: RetentionInput;
  readonly colors: Colors;
  readonly dryRun: boolean;
  /** Whether a command line must name the database. */
  readonly several: boolean;
}

interface Row {
  readonly point: Point;
  readonly stays: boolean;
  readonly reasons: readonly Reason[];
}

/** Every backup of the plan, by time. */
function rowsOf({ plan }: PrunedDatabase): Row[] {
  const rows = [
    ...plan.keep.map(({ point, reasons }) => ({ point, stays: true, reasons })),
    ...plan.expire.map(({ point, reasons }) => ({ point, stays: false, reasons })),
  ];
  return rows.sort((a, b) => (a.point.id < b.point.id ? -1 : 1));
}

function isLimited(database: string, { databases }: RetentionInput): boolean {
  const found = databases.find((one) => one.database === database);
  return found !== undefined && limitsAnything(found.policy);
}

function bytesOf(points: readonly Point[]): number {
  return points.reduce((sum, { bytes }) => sum + bytes, 0);
}

export function pruneSummary({ databases, runRecords, uploads }: PruneResult, { input, dryRun }: PruneView): PruneSummary {
  return {
    databases: databases.map((pruned) => {
      const deleted = new Set(pruned.deleted.map(({ id }) => id));
      return {
        database: pruned.database,
        limited: isLimited(pruned.database, input),
        frozenBy: pruned.frozenBy ?? null,
        notes: pruned.plan.notes.map(describeNote),
        backups: rowsOf(pruned).map(({ point, stays, reasons }) => ({
          id: point.id,
          snapshotInstant: isInstant(point.instant) ? Temporal.Instant.fromEpochMilliseconds(point.instant).toString() : null,
          storedBytes: point.bytes,
          stays,
          reasons: reasons.map((reason) => describeReason(reason, input.timeZone)),
          deleted: deleted.has(point.id),
        })),
        freedBytes: bytesOf(dryRun ? pruned.plan.expire.map(({ point }) => point) : pruned.deleted),
        locked: pruned.locked.map(({ id, until }) => ({ id, until: until.toString() })),
        inUse: pruned.inUse.map(({ id, by, until }) => ({ id, by: [...by], until: until.toString() })),
        spared: [...pruned.spared],
        orphans: [...pruned.orphans],
        run: pruned.run?.id ?? null,
      };
    }),
    runRecords,
    uploads,
  };
}

export function pruneText(result: PruneResult, view: PruneView): string {
  const parts = result.databases.map((pruned) => (view.dryRun ? plannedText(pruned, view) : prunedText(pruned, view)));
  const { runRecords, uploads } = result;
  const swept = [
    ...(runRecords === 0 ? [] : [counted(runRecords, 'run record')]),
    ...(uploads === 0 ? [] : [counted(uploads, 'unfinished upload')]),
  ];
  if (swept.length > 0) parts.push(`removed for their age: ${swept.join(', ')}`);
  return parts.join('\n\n');
}

/** --dry-run: the whole table, with every reason. */
function plannedText(pruned: PrunedDatabase, view: PruneView): string {
  const { colors, input } = view;
  const rows = rowsOf(pruned);
  if (rows.length === 0) return `${colors.bold(pruned.database)}: no backups`;
  const table = tableText(
    [{ title: 'ID' }, { title: 'AS OF' }, { title: 'STORED', align: 'right' }, { title: '' }, { title: 'WHY' }],
    rows.map(({ point, stays, reasons }) => [
      point.id,
      retentionInstant(point.instant, input.timeZone),
      bytesText(point.bytes),
      stays ? colors.green('stays') : colors.red('goes'),
      reasons.map((reason) => describeReason(reason, input.timeZone)).join('\n'),
    ]),
    colors,
  );
  const going = pruned.plan.expire.map(({ point }) => point);
  const stay = bytesOf(rows.map(({ point }) => point)) - bytesOf(going);
  const total =
    going.length === 0
      ? `all ${counted(rows.length, 'backup')} would stay, ${bytesText(stay)}`
      : `${going.length} of ${counted(rows.length, 'backup')} would go and free ${bytesText(bytesOf(going))}; ${rows.length - going.length} would stay, ${bytesText(stay)}`;
  const reading = pruned.inUse.map(({ id, by }) => `${id} is being read (${by.join(', ')}): it would stay for now`);
  return [headText(pruned, view), table, ...reading, ...notesText(pruned, view), `${total}; nothing was changed (--dry-run)`].join('\n');
}

/** What was done: only what went, with its reasons, and what did not go as planned. */
function prunedText(pruned: PrunedDatabase, view: PruneView): string {
  const { colors, input } = view;
  const { deleted, plan, locked, inUse, spared, orphans } = pruned;
  const all = plan.keep.length + plan.expire.length;
  const reasons = new Map(plan.expire.map(({ point, reasons: why }) => [point.id, why]));
  const done =
    deleted.length === 0
      ? `deleted nothing; ${counted(all, 'backup')} ${all === 1 ? 'stays' : 'stay'}`
      : `deleted ${deleted.length} of ${counted(all, 'backup')}, ${bytesText(bytesOf(deleted))}`;
  const lines = deleted.flatMap((point) => [
    `  ${point.id}  ${retentionInstant(point.instant, input.timeZone)}  ${bytesText(point.bytes)}`,
    ...(reasons.get(point.id) ?? []).map((reason) => `    ${describeReason(reason, input.timeZone)}`),
  ]);
  const locks = locked.map(({ id, until }) =>
    until === 'legal-hold'
      ? `  ${id} is under a legal hold in the store: it stays until somebody lifts that`
      : `  ${id} is locked in the store until ${instantText(until.toString(), input.timeZone)}: a later prune deletes it`,
  );
  return [
    `${colors.green('pruned')} ${colors.bold(pruned.database)}: ${done}`,
    ...lines,
    ...locks.map((line) => colors.yellow(line)),
    ...inUse.map(({ id, by }) => `  ${id} is being read (${by.join(', ')}): left for the next prune`),
    ...spared.map((id) => `  ${id} was pinned or otherwise decided about meanwhile: left for the next prune`),
    ...(orphans.length === 0 ? [] : [`  removed what ${counted(orphans.length, 'dead run')} left: ${orphans.join(', ')}`]),
    ...notesText(pruned, view),
  ].join('\n');
}

function headText({ database }: PrunedDatabase, { input, colors }: PruneView): string {
  const found = input.databases.find((one) => one.database === database);
  return `${colors.bold(database)} keeps ${found === undefined ? 'everything' : policyText(found.policy)}`;
}

/** What somebody should know about the whole database; the freeze with the very line that lifts it. */
function notesText(pruned: PrunedDatabase, view: PruneView): string[] {
  const { database, plan } = pruned;
  if (!isLimited(database, view.input)) return [configureText(database)];
  return [
    ...plan.notes.map((note) => `note: ${describeNote(note)}`),
    ...freezeOf(pruned, view).flatMap(({ text, hint }) => [view.colors.yellow(text), hint]),
  ];
}

/** Of each frozen database, what is the matter and how it ends. */
export function freezeTexts({ databases }: PruneResult, view: PruneView): { readonly text: string; readonly hint: string }[] {
  return databases.flatMap((pruned) => freezeOf(pruned, view));
}

function freezeOf({ database, frozenBy }: PrunedDatabase, { several, input }: PruneView): { text: string; hint: string }[] {
  if (frozenBy === undefined || !isLimited(database, input)) return [];
  return [
    {
      text: `deletion of ${database} is frozen because of ${frozenBy}, until somebody has looked at it: jetbackup show ${frozenBy}`,
      hint: `If the backup is right as it is, this lifts the freeze: jetbackup prune ${several ? `${database} ` : ''}--accept ${frozenBy} --reason "…"`,
    },
  ];
}
