import { describe, expect, it } from 'vitest';
import { documents } from '../../../src/cli/json.ts';
import type { MarkInput } from '../../../src/operations/mark.ts';
import { ID, manifest, oneDatabase, type Typed, type as typed, type World } from './command-line.ts';

const json = (result: Typed): unknown => JSON.parse(result.stdout);

function marking(seen: MarkInput[] = []): NonNullable<World['operations']> {
  return {
    markBackup: async (_deps, input) => {
      seen.push(input);
      const { pin } = input.change;
      return {
        manifest: manifest(),
        mark: {
          format: 1,
          kind: 'mark',
          repository: 'r',
          database: input.database,
          backup: ID,
          madeAt: '2026-11-20T12:00:00Z',
          pin: pin === undefined || pin === null ? null : { reason: pin.reason, until: pin.until?.toString() ?? null },
          keepUntil: null,
          signature: manifest().signature,
        },
      };
    },
  };
}

describe('pin', () => {
  it('keeps a backup for ever, with the reason', async () => {
    const seen: MarkInput[] = [];
    const result = await typed(['pin', 'latest', '--reason', 'before the move'], { operations: marking(seen) });
    expect(result).toMatchObject({ exitCode: 0, stderr: '' });
    expect(seen).toEqual([{ database: 'shop', moment: { kind: 'latest' }, change: { pin: { reason: 'before the move' } } }]);
    expect(result.stdout).toBe(`pinned ${ID} of shop, as of 2026-11-20 02:00:01+00:00: before the move\n`);
  });

  it.each([
    ['2027-03-31', '2027-03-31T21:59:59Z', 'the last second of that day in the zone'],
    ['30d', '2026-12-20T12:00:00Z', '30 days of the calendar'],
    ['6mo', '2027-05-20T11:00:00Z', 'months of the calendar, over the change of the clocks'],
  ])('until %s keeps it until %s: %s', async (until, instant) => {
    const seen: MarkInput[] = [];
    const env = { ...oneDatabase, JETBACKUP_TIMEZONE: 'Europe/Berlin' };
    const result = await typed(`pin latest --reason audit --until ${until} --json`, { env, operations: marking(seen) });
    expect(seen[0]?.change.pin?.until?.toString()).toBe(instant);
    expect(documents.pin.parse(json(result))).toMatchObject({ backup: ID, pin: { reason: 'audit', until: instant } });
  });

  it.each([
    ['pin latest', "required option '--reason <text>' not specified"],
    ['pin --reason x', "missing required argument 'when'"],
    ['pin latest --reason x --until soon', 'neither a day nor a time'],
    ['pin latest --reason x --until 2027-02-30', 'neither a day nor a time'],
    ['pin latest --reason x --until 2026-11-19', 'past already'],
  ])('%s is wrong usage', async (line, message) => {
    const { exitCode, stderr } = await typed(line, { operations: marking() });
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
  });

  it('works on a host that has no database configured', async () => {
    const seen: MarkInput[] = [];
    const env = { JETBACKUP_REPOSITORY: 'file:///backups' };
    expect((await typed('pin latest --reason audit', { env, operations: marking(seen) })).exitCode).toBe(0);
    expect(seen[0]?.database).toBe('shop');
  });
});

describe('unpin', () => {
  it('lets retention decide again', async () => {
    const seen: MarkInput[] = [];
    const { stdout, exitCode } = await typed(`unpin ${ID}`, { operations: marking(seen) });
    expect(exitCode).toBe(0);
    expect(seen).toEqual([{ database: 'shop', moment: { kind: 'id', id: ID }, change: { pin: null } }]);
    expect(stdout).toContain(`unpinned ${ID} of shop`);
    expect(documents.unpin.parse(json(await typed(`unpin ${ID} --json`, { operations: marking() })))).toMatchObject({ pin: null });
  });
});
