/** One item of an ACL as PostgreSQL prints it: `grantee=letters/grantor`, each letter perhaps with `*` (may grant it on). Null when it is none. */
export function parseAclItem(item: string): { readonly grantee: string; readonly privileges: readonly string[] } | null {
  const parts = /^("(?:[^"]|"")*"|[^="]*)=((?:[A-Za-z]\*?)*)\//.exec(item);
  if (parts === null) return null;
  const [, name = '', letters = ''] = parts;
  const grantee = name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
  return { grantee, privileges: letters.match(/[A-Za-z]\*?/g) ?? [] };
}

/** The owner's name where privileges are listed: a restore may give the object another one. */
export const OWNER = '<owner>';
export const PUBLIC = 'PUBLIC';

/**
 * Who may do what, whoever granted it, sorted; undefined where that is the built-in default. An explicit ACL that says
 * the same as the default counts as the default, because a dump does not tell the two apart.
 */
export function normalizePrivileges(
  acl: readonly string[] | null,
  defaults: readonly string[] | null,
  owner: string | null,
): string[] | undefined {
  if (acl === null) return undefined;
  const actual = listed(acl, owner);
  return JSON.stringify(actual) === JSON.stringify(listed(defaults ?? [], owner)) ? undefined : actual;
}

function listed(acl: readonly string[], owner: string | null): string[] {
  const byGrantee = new Map<string, Set<string>>();
  for (const text of acl) {
    const item = parseAclItem(text);
    if (item === null) continue;
    const grantee = item.grantee === '' ? PUBLIC : item.grantee === owner ? OWNER : JSON.stringify(item.grantee);
    const letters = byGrantee.get(grantee) ?? new Set<string>();
    for (const letter of item.privileges) letters.add(letter);
    byGrantee.set(grantee, letters);
  }
  const items: string[] = [];
  for (const [grantee, letters] of byGrantee) {
    const kept = [...letters].filter((letter) => letter.endsWith('*') || !letters.has(`${letter}*`)).sort();
    if (kept.length > 0) items.push(`${grantee}=${kept.join('')}`);
  }
  return items.sort();
}

/** MAINTAIN came with 17: GRANT ALL before it is not GRANT ALL after it. */
export function withoutMaintain(privileges: readonly string[]): string[] {
  return privileges.map((item) => item.replace(/m\*?(?=[^=]*$)/, '')).filter((item) => !item.endsWith('='));
}
