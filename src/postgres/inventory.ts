import { createHash } from 'node:crypto';
import type pg from 'pg';
import * as z from 'zod';
import type { InventoryEntry } from '../core/fingerprint.ts';
import { databaseQueries } from './inventory-database.ts';
import { normalizeDeparsed } from './inventory-deparsed.ts';
import { normalizePrivileges } from './inventory-privileges.ts';
import { relationQueries } from './inventory-relations.ts';
import { routineQueries } from './inventory-routines.ts';

const List = z.array(z.string().nullable()).nullable();
const Row = z.object({
  kind: z.string(),
  identity: z.string().nullable(),
  fixed: List,
  deparsed: List,
  owner: z.string().nullable(),
  acl: z.array(z.string()).nullable(),
  acl_default: z.array(z.string()).nullable(),
  acl_owner: z.string().nullable(),
});

/**
 * Every object of the database that a dump holds and a restore must bring back, sorted by kind and identity.
 * The client's session must have `fixedSettings`; names are then qualified and texts do not depend on the role.
 */
export async function readInventory(
  client: pg.ClientBase,
  server: { readonly major: number; readonly superuser: boolean },
): Promise<InventoryEntry[]> {
  const { major, superuser } = server;
  const entries: InventoryEntry[] = [];
  for (const query of [...relationQueries(major), ...routineQueries(major), ...databaseQueries(major)]) {
    if (query.superuserOnly === true && !superuser) continue;
    // The savepoint gives back the locks that deparsing takes on whatever a view or a rule speaks of.
    await client.query('SAVEPOINT inventory');
    const result = await client.query<Record<string, unknown>>(query.sql);
    await client.query('ROLLBACK TO SAVEPOINT inventory; RELEASE SAVEPOINT inventory');
    for (const raw of result.rows) {
      const row = Row.parse(raw);
      // A comment that outlived its object, or one on an object that was dropped since the snapshot.
      if (row.identity !== null) entries.push(entryOf(row, row.identity));
    }
  }
  return entries.sort((a, b) => compareText(a.kind, b.kind) || compareText(a.identity, b.identity));
}

function entryOf(row: z.infer<typeof Row>, identity: string): InventoryEntry {
  const { kind, fixed, deparsed, owner, acl, acl_default, acl_owner } = row;
  const privileges = normalizePrivileges(acl, acl_default, acl_owner);
  return {
    kind,
    identity,
    definition: fixed === null ? null : digest(fixed),
    ...(deparsed?.some((text) => text !== null) ? { deparsed: kind === 'extension' ? deparsed.join() : deparsedDigest(deparsed) } : {}),
    ...(owner === null ? {} : { owner }),
    ...(privileges === undefined ? {} : { privileges }),
  };
}

function deparsedDigest(texts: readonly (string | null)[]): string {
  return digest(texts.map((text) => (text === null ? null : normalizeDeparsed(text))));
}

function digest(parts: readonly (string | null)[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
