import { JetbackupError } from '../../core/errors.ts';
import type { CheckContext, RestoreCheck, UserQuery } from '../check.ts';
import { counted, failed, passed, shown, skipped } from './result.ts';
import { type Answer, applicationSearchPath, ask } from './scalar.ts';
import { inSession } from './session.ts';

/**
 * Each of the user's own queries gives what it is expected to. Unqualified names are found as an application finds them that
 * connects as the database's owner.
 */
export const queries: RestoreCheck = {
  id: 'queries',
  async run(context, signal) {
    if (context.queries.length === 0) return skipped('no queries are configured (verify.queries)');
    const wrong = await askAll(context, signal);
    const all = counted(context.queries.length, 'query', 'queries');
    if (wrong.length === 0) return passed(`${all} gave what is expected`);
    const hint = 'Compare with the source: is it the data, or the expectation (verify.queries, or queries of the database)?';
    return failed(`${wrong.length} of ${all} did not give what is expected`, hint, wrong);
  },
};

async function askAll(context: CheckContext, signal: AbortSignal): Promise<string[]> {
  const { source } = context.manifest;
  return await inSession(context, signal, async (client) => {
    const searchPath = await applicationSearchPath(client, source);
    const wrong: string[] = [];
    for (const query of context.queries) {
      const answer = await ask(client, query.sql, { searchPath, alsoUser: source.owner, timeoutMs: context.queryTimeoutMs });
      if (answer.kind === 'error' && ofTheQuery.test(answer.state)) throw notAQuery(query, answer.message);
      const problem = problemWith(query, answer);
      if (problem !== undefined) wrong.push(`the query ${shown(query.name)} ${problem}`);
    }
    return wrong;
  });
}

/** Syntax errors, and functions, operators and types that do not fit (PostgreSQL, Appendix A): a slip of whoever wrote the query. */
const ofTheQuery = /^42(?:601|883|804|P02|P18)$/;

/** A verdict about the backup cannot come of a query that says nothing. */
function notAQuery({ name }: UserQuery, message: string): JetbackupError {
  return new JetbackupError(
    'unverified',
    `a query of the configuration is no query that PostgreSQL understands\n${shown(name)}: ${message}`,
    {
      hint: 'Correct it under verify.queries, or queries of the database; try it in psql.',
    },
  );
}

/** What is wrong with an answer, in words; undefined where it is as expected. Without `expect`, only the boolean true will do. */
export function problemWith({ expect }: Pick<UserQuery, 'expect'>, answer: Answer): string | undefined {
  if (answer.kind === 'shape') return `${answer.why}: it must give exactly one row`;
  if (answer.kind === 'error') return `failed (${answer.state}): ${answer.message}`;
  const { value, isBoolean } = answer;
  // A boolean is written `t`, which is not what people write into a configuration.
  const long = isBoolean && value !== null ? (value === 't' ? 'true' : 'false') : value;
  if (expect !== undefined) return value === expect || long === expect ? undefined : `gave ${shown(long)}, not ${shown(expect)}`;
  if (isBoolean) return value === 't' ? undefined : `gave ${long ?? 'NULL'}, not true`;
  return `gave ${shown(value)}, which is no boolean: say what to expect (expect), or let it give true`;
}
