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
    const hint =
      'Compare with the source: is it the data, or the expectation (verify.queries, or queries of the database)? Where a query only took too long, raise verify.queryTimeout.';
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
      const problem = problemWith(query, answer);
      if (problem !== undefined) wrong.push(`the query ${shown(query.name)} ${problem}`);
    }
    return wrong;
  });
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
