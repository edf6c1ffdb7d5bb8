/**
 * The name that a cluster's superuser can have: initdb puts it into SQL as it is, and makes an extension of his, which refuses some
 * characters (extension.c, execute_extension_script); `pg_` is PostgreSQL's own. Where the wanted one is none, the role comes with the
 * others, out of the globals.
 */
export const superuserName = (wanted: string): string => (/["$'\\]|^pg_/.test(wanted) ? 'postgres' : wanted);
