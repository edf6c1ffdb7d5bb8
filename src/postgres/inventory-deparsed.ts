/**
 * Takes casts, parentheses and white space out of SQL that the server wrote from its parse trees. That text is not the
 * same after a dump and restore even on one server: `CHECK (size IN ('s', 'm'))` on a varchar column comes out as
 * `((size)::text = ANY ((ARRAY['s'::character varying, 'm'::character varying])::text[]))` and, once restored, as
 * `((size)::text = ANY (ARRAY[('s'::character varying)::text, ('m'::character varying)::text]))`.
 * What remains still tells any change of names, operators, constants and structure.
 */
export function normalizeDeparsed(sql: string): string {
  const tokens: string[] = [];
  for (const [token] of sql.matchAll(pattern)) {
    if (!token.startsWith('::') && !/^[\s()]/.test(token)) tokens.push(token);
  }
  return tokens.join(' ');
}

const identifier = String.raw`(?:"(?:[^"]|"")*"|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)`;
const cast =
  String.raw`::\s*${identifier}(?:\.${identifier})*(?:\s+(?:varying|precision)\b)?(?:\s*\(\s*-?\d+(?:\s*,\s*-?\d+)*\s*\))?` +
  String.raw`(?:\s+with(?:out)? time zone\b|\s+(?:year|month|day|hour|minute|second)(?:\s+to\s+(?:month|day|hour|minute|second))?(?:\s*\(\d+\))?)?(?:\[\])*`;
// In this order: a cast, a string, a name, a number, what is left out, an operator, anything else.
const pattern = new RegExp(String.raw`${cast}|'(?:[^']|'')*'|${identifier}|\d[\w.]*|\s+|[()]|[-+*/<>=~!@#%^&|?\x60]+|[^]`, 'gu');
