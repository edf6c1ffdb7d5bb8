import { describe, expect, it } from 'vitest';
import { type CanaryTableState, canaryObstacle } from '../../../src/postgres/canary.ts';

const row = { schema: 'ops', table: 'canary', backup: 'x' };
const fine: CanaryTableState = { standby: false, schemaThere: true, tableThere: true, usage: true, create: true, write: true };
const create = 'CREATE TABLE "ops"."canary" (backup text PRIMARY KEY, written_at timestamptz NOT NULL);';
const grant = 'GRANT SELECT, INSERT, DELETE ON "ops"."canary" TO "backup";';
const usage = 'GRANT USAGE ON SCHEMA "ops" TO "backup";';

describe('what stands between a backup and its canary', () => {
  it.each<[string, Partial<CanaryTableState>]>([
    ['the table is there and may be written to', {}],
    ['the table is there, and the right to make one is not needed', { create: false }],
    ['the table can be made', { tableThere: false, write: false }],
  ])('is nothing where %s', (_, state) => {
    expect(canaryObstacle({ ...fine, ...state }, row, 'backup')).toBeUndefined();
  });

  it.each<[string, Partial<CanaryTableState>, string[]]>([
    ['the table may not be written to', { write: false }, [grant]],
    ['the schema may not be looked into', { usage: false }, [usage]],
    ['the table may not be made', { tableThere: false, write: false, create: false }, [create, grant]],
    ['nothing is allowed', { tableThere: false, write: false, create: false, usage: false }, [create, usage, grant]],
    [
      'there is no schema',
      { schemaThere: false, tableThere: false, write: false, create: false, usage: false },
      ['CREATE SCHEMA "ops";', create, usage, grant],
    ],
  ])('is told with every line to type, and no other, where %s', (_, state, lines) => {
    const obstacle = canaryObstacle({ ...fine, ...state }, row, 'backup');
    expect(obstacle?.hint).toBe(`As the owner or a superuser: ${lines.join(' ')}`);
    // The manifest is not encrypted.
    expect(obstacle?.text).not.toMatch(/ops|"backup"/);
  });

  it('on a standby is nothing that a grant would help with', () => {
    expect(canaryObstacle({ ...fine, standby: true, write: false }, row, 'backup')?.hint).not.toMatch(/GRANT/);
  });
});
