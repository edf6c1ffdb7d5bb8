import { type ErrorCode, JetbackupError } from '../core/errors.ts';
import type { ProcessFailed } from '../platform/processes.ts';

/** What a client program's stderr means. `hint` may use the groups of the pattern as `$1`, `$2`. */
export interface Symptom {
  readonly pattern: RegExp;
  readonly code: ErrorCode;
  readonly hint: string;
}

/** libpq's and the server's words for trouble with the connection, the same for every program. */
export function connectionSymptoms(unreachable: ErrorCode, denied: ErrorCode): readonly Symptom[] {
  return [
    {
      pattern:
        /password authentication failed|no password supplied|no pg_hba\.conf entry|role "[^"]*" does not exist\s*$|authentication failed/,
      code: denied,
      hint: 'Check the user, the password and pg_hba.conf.',
    },
    { pattern: /database "([^"]*)" does not exist/, code: denied, hint: 'Check the database name; psql -l lists what there is.' },
    {
      pattern: /certificate verify failed|root certificate file .* does not exist|server certificate for/,
      code: denied,
      hint: 'Check sslrootcert and sslmode.',
    },
    {
      pattern:
        /server closed the connection unexpectedly|terminating connection|could not (?:connect|receive data|send data)|connection to server .* failed|connection to server was lost|SSL connection has been closed|SSL SYSCALL error|no connection to the server|the database system is|remaining connection slots|too many clients|Connection (?:refused|reset|timed out)/,
      code: unreachable,
      hint: 'The connection broke or was not made. Is the server running, and is the way to it open?',
    },
  ];
}

/** Bounds of what an error quotes: lines that tell of the error, and characters of each. */
const QUOTED_LINES = 6;
const QUOTED_COLUMNS = 300;
/** How many of the last lines are quoted where none tells of an error. */
const LAST_LINES = 4;

const telling = /(?:^|: )(?:error|ERROR|FATAL|PANIC): |^(?:DETAIL|HINT): |^CONTEXT: {2}COPY |^pg_restore: from TOC entry /;
const statement = /(?:^|: )(?:Command|Query|Statement) was: /;

/** The first words of the error, then the head of the statement that it stopped at: the rest of a statement would drown them. */
export function quoteStderr(stderr: string): string {
  const { lines, stoppedAt } = read(stderr);
  const said = lines.filter((line) => !/^pg_(?:dump|dumpall|restore): (?:warning|hint):/.test(line));
  const found = said.filter((line) => telling.test(line)).slice(0, QUOTED_LINES);
  const quoted = [...(found.length > 0 ? found : said.slice(-LAST_LINES)).map(withoutRows), ...stoppedAt];
  return quoted.map((line) => (line.length > QUOTED_COLUMNS ? `${line.slice(0, QUOTED_COLUMNS)}…` : line)).join('\n');
}

/** The server quotes the user's rows in some of its lines; errors go to logs and alerts, where these have no place. */
function withoutRows(line: string): string {
  return line
    .replace(/^(CONTEXT:\s+COPY .*?, line \d+).*$/, '$1')
    .replace(/(Failing row contains ).*$/, '$1(…)')
    .replaceAll(/=\((?:[^()]|\([^()]*\))*(?:\)|$)/g, '=(…)');
}

/** Literals of a statement may be passwords (user mappings, subscriptions). One that goes on in the next line ends with this one. */
function withoutLiterals(line: string): string {
  return line.replaceAll(/'(?:[^']|'')*(?:'|$)/g, "'…'");
}

/**
 * The lines without the statements that are quoted among them, whose words are the user's own and no symptom of
 * anything; and the first line of the first of these, if there is one.
 */
function read(stderr: string): { lines: string[]; stoppedAt: string[] } {
  const all = stderr
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '');
  let inside = false;
  const lines = all.filter((line) => {
    if (statement.test(line)) inside = true;
    else if (/^pg_(?:dump|dumpall|restore): /.test(line)) inside = false;
    return !inside;
  });
  const first = all.find((line) => statement.test(line));
  return { lines, stoppedAt: first === undefined ? [] : [withoutLiterals(first)] };
}

/** What a program and the server said, without the statements that they quote. */
export function saidIn(stderr: string): readonly string[] {
  return read(stderr).lines;
}

/** The first symptom that matches decides; without one, `otherwise`. */
export function classifyFailure(failed: ProcessFailed, what: string, symptoms: readonly Symptom[], otherwise: ErrorCode): JetbackupError {
  const { lines, stoppedAt } = read(failed.stderr);
  const text = [...lines, ...stoppedAt].join('\n');
  for (const { pattern, code, hint } of symptoms) {
    const match = pattern.exec(text);
    if (match === null) continue;
    const filled = hint.replaceAll(/\$(\d)/g, (_, group: string) => match[Number(group)] ?? '');
    return new JetbackupError(code, `${what}: ${quoteStderr(failed.stderr)}`, { hint: filled, cause: failed });
  }
  const program = failed.program.split('/').at(-1) ?? failed.program;
  if (failed.killedBy !== null) {
    return new JetbackupError(otherwise, `${what}: ${program} was killed by ${failed.killedBy}`, {
      hint: 'Someone stopped it, or the machine ran out of memory (dmesg tells). Nothing was kept of it; run it again.',
      cause: failed,
    });
  }
  const quoted = quoteStderr(failed.stderr);
  return new JetbackupError(otherwise, `${what}: ${quoted === '' ? `${program} exited with status ${failed.exitCode}` : quoted}`, {
    hint: `These are the words of ${program}; they name the object that it stopped at.`,
    cause: failed,
  });
}
