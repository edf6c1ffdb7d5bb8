/**
 * Connection strings as libpq reads them. pg-connection-string is not used here on purpose: it reads certificate
 * files while parsing, knows one host only, takes `sslmode=require` for `verify-full`, and guesses at stray `%`;
 * pg_dump and our own client must come to the same server by the same rules.
 */
export class ConnectionStringError extends Error {}

/** libpq keyword (`host`, `sslmode`, ...) to value, as given. */
export type Keywords = Map<string, string>;

/** A URI (`postgres://`, `postgresql://`) or a keyword string (`host=a dbname=b`). Messages never quote the text: a password may be anywhere in it. */
export function parseConnectionString(text: string): Keywords {
  const trimmed = text.trim();
  const scheme = /^postgres(?:ql)?:\/\//.exec(trimmed);
  if (scheme !== null) return parseUri(trimmed.slice(scheme[0].length));
  const other = /^([a-z][a-z0-9+.-]*):/i.exec(trimmed);
  if (other !== null) throw new ConnectionStringError(`begins with ${other[1]}:, not with postgres://`);
  if (!trimmed.includes('=')) throw new ConnectionStringError('is neither a postgres:// URL nor a string like "host=... dbname=..."');
  return parseKeywords(trimmed);
}

function decode(part: string, what: string): string {
  try {
    const decoded = decodeURIComponent(part);
    if (decoded.includes('\0')) throw new ConnectionStringError(`has a NUL in its ${what}`);
    return decoded;
  } catch (cause) {
    if (cause instanceof ConnectionStringError) throw cause;
    throw new ConnectionStringError(`has a "%" in its ${what} that two hex digits do not follow; write a plain "%" as %25`);
  }
}

/** `[user[:password]@][host[:port][,...]][/dbname][?keyword=value[&...]]`, each part percent-encoded (libpq, section "Connection URIs"). */
function parseUri(rest: string): Keywords {
  const result: Keywords = new Map();
  const set = (keyword: string, value: string) => {
    if (value !== '') result.set(keyword, value);
  };
  const question = rest.indexOf('?');
  const location = question === -1 ? rest : rest.slice(0, question);
  const slash = location.indexOf('/');
  const authority = slash === -1 ? location : location.slice(0, slash);
  const database = slash === -1 ? '' : location.slice(slash + 1);
  if (database.includes('@')) {
    throw new ConnectionStringError(
      'has an "@" after its first "/"; in a user name or password write "/" as %2F, "?" as %3F, "#" as %23 and "@" as %40',
    );
  }

  const at = authority.indexOf('@');
  if (authority.indexOf('@', at + 1) !== -1) {
    throw new ConnectionStringError('has more than one "@"; in a user name or password write "@" as %40');
  }
  if (at !== -1) {
    const credentials = authority.slice(0, at);
    const colon = credentials.indexOf(':');
    set('user', decode(colon === -1 ? credentials : credentials.slice(0, colon), 'user name'));
    if (colon !== -1) set('password', decode(credentials.slice(colon + 1), 'password'));
  }
  const hostList = authority.slice(at + 1);
  if (hostList !== '') {
    const hosts: string[] = [];
    const ports: string[] = [];
    for (const item of hostList.split(',')) {
      const match = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^:[\]]*))(?::(\d*))?$/.exec(item);
      if (match === null) {
        throw new ConnectionStringError('has a host or port that cannot be read; is there an unescaped character in the password?');
      }
      hosts.push(match[1] ?? decode(match[2] ?? '', 'host'));
      ports.push(match[3] ?? '');
    }
    set('host', hosts.join(','));
    if (ports.some((port) => port !== '')) set('port', ports.join(','));
  }
  set('dbname', decode(database, 'database name'));

  const query = question === -1 ? '' : rest.slice(question + 1);
  for (const pair of query.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    if (equals === -1) throw new ConnectionStringError('has a parameter without "=" after its "?"');
    set(decode(pair.slice(0, equals), 'parameters'), decode(pair.slice(equals + 1), 'parameters'));
  }
  return result;
}

/** `keyword = value` pairs; values with spaces in single quotes; `\'` and `\\` escaped (libpq, section "Keyword/Value Connection Strings"). */
function parseKeywords(text: string): Keywords {
  const result: Keywords = new Map();
  const pair = /\s*([A-Za-z_]+)\s*=\s*(?:'((?:[^'\\]|\\[\s\S])*)'|((?:[^\s'\\]|\\[\s\S])*))(?=\s|$)/y;
  while (pair.lastIndex < text.length) {
    const match = pair.exec(text);
    const keyword = match?.[1];
    if (match === null || keyword === undefined) {
      throw new ConnectionStringError('has a part that is not keyword=value; put values with spaces in single quotes');
    }
    const value = (match[2] ?? match[3] ?? '').replaceAll(/\\([\s\S])/g, '$1');
    if (value !== '') result.set(keyword, value);
  }
  return result;
}
