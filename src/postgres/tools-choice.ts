/** One directory of client programs of one version. */
export interface ClientTools {
  readonly major: number;
  readonly minor: number;
  /** What `pg_dump --version` says: `pg_dump (PostgreSQL) 17.6 (Debian 17.6-1)`. */
  readonly version: string;
  readonly directory: string;
  readonly pgDump: string;
  readonly pgRestore: string;
  readonly pgDumpall: string;
  readonly psql?: string;
  /** What the user should know of this choice, in words. */
  readonly warnings: readonly string[];
}

export interface ToolsRequest {
  /** `server_version_num` of the server to be dumped, or restored into. */
  readonly serverVersionNum: number;
  readonly purpose: 'dump' | 'restore';
  /** For `restore`: the manifest's `tools.pgDump`, the version that wrote the archive. */
  readonly dumpedBy?: string;
  /** Look here and nowhere else (the setting `postgres.bindir`). */
  readonly directory?: string;
}

export type ToolsChoice =
  | { readonly tools: ClientTools }
  | { readonly tools?: undefined; readonly reason: string; readonly hint: string; readonly installMajor?: number };

/** From 17 on, pg_restore begins with `SET transaction_timeout = 0`, which older servers refuse; each major's other opening statements are known to 14 and later. Seen with 15, 17 and 18. */
const SETS_TRANSACTION_TIMEOUT = 17;

/**
 * Which client programs go with a server of this version. Pure.
 *
 * To dump: pg_dump of the server's major, else of the next newer one; an older one refuses to work. Within a major
 * the newest minor: an older pg_dump does not know what a newer server's minor keeps in its catalogs.
 *
 * To restore: pg_restore must be able to read the archive (not older than the pg_dump that wrote it: 15 refuses
 * format 1.16 of 17) and to talk to the target (see above). Best is the target's own major, then the nearest older
 * one, then the nearest newer one.
 */
export function chooseTools(found: readonly ClientTools[], request: ToolsRequest): ToolsChoice {
  const server = Math.floor(request.serverVersionNum / 10_000);
  const byVersion = [...found].sort((a, b) => a.major - b.major || b.minor - a.minor);
  return request.purpose === 'dump' ? chooseForDump(byVersion, request, server) : chooseForRestore(byVersion, request, server);
}

function listed(found: readonly ClientTools[]): string {
  if (found.length === 0) return 'no PostgreSQL client programs were found';
  const versions = new Set(found.map(({ major, minor, directory }) => `${major}.${minor} (${directory})`));
  return `the PostgreSQL client programs found are ${[...versions].join(', ')}`;
}

function chooseForDump(found: readonly ClientTools[], request: ToolsRequest, server: number): ToolsChoice {
  const tools = found.find(({ major }) => major >= server);
  if (tools === undefined) {
    const hint = 'pg_dump must not be older than the server. Install it:';
    return { reason: `the server is PostgreSQL ${server}, and ${listed(found)}`, hint, installMajor: server };
  }
  const warnings: string[] = [];
  const serverMinor = request.serverVersionNum % 10_000;
  if (tools.major === server && tools.minor < serverMinor) {
    warnings.push(
      `pg_dump is ${tools.major}.${tools.minor}, older than the server (${server}.${serverMinor}): update postgresql-client, so that it knows all that this server keeps`,
    );
  }
  if (tools.major > server && tools.major >= SETS_TRANSACTION_TIMEOUT && server < SETS_TRANSACTION_TIMEOUT) {
    warnings.push(
      `the server is PostgreSQL ${server} and was dumped by pg_dump ${tools.major}: this backup can be restored into PostgreSQL ${SETS_TRANSACTION_TIMEOUT} or newer only; install the client programs of ${server} to be able to go back to ${server}`,
    );
  }
  return { tools: { ...tools, warnings } };
}

function chooseForRestore(found: readonly ClientTools[], request: ToolsRequest, server: number): ToolsChoice {
  const writer = Number(/\(PostgreSQL\) (\d+)/.exec(request.dumpedBy ?? '')?.[1] ?? server);
  const talks = (major: number) => major < SETS_TRANSACTION_TIMEOUT || server >= SETS_TRANSACTION_TIMEOUT;
  if (!talks(writer) && writer > server) {
    return {
      reason: `the archive was written by pg_dump ${writer}, which only pg_restore ${writer} or newer reads, and that cannot restore into PostgreSQL ${server}`,
      hint: `Restore into PostgreSQL ${writer} or newer.`,
    };
  }
  const usable = found.filter(({ major }) => major >= writer && talks(major));
  const tools =
    usable.find(({ major }) => major === server) ??
    usable.findLast(({ major }) => major < server) ??
    usable.find(({ major }) => major > server);
  if (tools !== undefined) {
    // Of the nearest older major, too, the newest minor.
    return { tools: usable.find(({ major }) => major === tools.major) ?? tools };
  }
  const wanted = Math.max(server, writer);
  return {
    reason: `an archive of pg_dump ${writer} is to go into PostgreSQL ${server}, and ${listed(found)}`,
    hint: `Install pg_restore ${wanted}:`,
    installMajor: wanted,
  };
}
