import type { Fingerprint } from '../../core/fingerprint.ts';
import type { CheckResult, RestoreCheck } from '../check.ts';
import { expectedOf } from './compare.ts';
import { anotherBackup, counted, failed, passed, shown, skipped } from './result.ts';
import { type Answer, ask, databaseSearchPath } from './scalar.ts';
import { inSession } from './session.ts';

const INSUFFICIENT_PRIVILEGE = '42501';

/** Each value that the backup recorded in the dump's own snapshot is what its query gives now. */
export const values: RestoreCheck = {
  id: 'values',
  async run(context, signal) {
    const expected = expectedOf(context);
    if (typeof expected === 'string') return skipped(expected);
    const recorded = expected.values ?? [];
    if (recorded.length === 0) return skipped('the backup recorded no values (values)');
    const searchPath = databaseSearchPath(context.manifest.source);
    const answers: Answer[] = [];
    await inSession(context, signal, async (client) => {
      for (const { sql } of recorded) answers.push(await ask(client, sql, { searchPath, timeoutMs: context.queryTimeoutMs }));
    });
    return judge(recorded, answers, context.sandbox.isOurs);
  },
};

type Recorded = NonNullable<Fingerprint['values']>;

/** The decision, without a server. On one that is not ours a right that its user lacks is no fault of the backup. */
export function judge(recorded: Recorded, answers: readonly Answer[], isOurs: boolean): CheckResult {
  const wrong: string[] = [];
  const unasked: string[] = [];
  recorded.forEach(({ name, value }, index) => {
    const answer = answers[index];
    const what = `the value ${shown(name)}`;
    if (answer?.kind === 'value') {
      if (answer.value !== value) wrong.push(`${what} is ${shown(answer.value)}, at backup ${shown(value)}`);
    } else if (answer?.kind === 'error' && answer.state === INSUFFICIENT_PRIVILEGE && !isOurs) {
      unasked.push(`${what} cannot be asked for by this user: ${answer.message}`);
    } else if (answer !== undefined) {
      wrong.push(`${what} was ${shown(value)} at backup, and now its query ${answer.kind === 'shape' ? answer.why : failureText(answer)}`);
    }
  });
  const rights = unasked.length === 0 ? '' : `; ${unasked.length} cannot be asked for with the rights of the sandbox's user`;
  if (wrong.length > 0) {
    const message = `${wrong.length} of ${counted(recorded.length, 'recorded value')} not as at backup${rights}`;
    return failed(message, anotherBackup, [...wrong, ...unasked]);
  }
  const same = recorded.length - unasked.length;
  if (same === 0) return skipped(`no recorded value can be asked for with the rights of the sandbox's user`, unasked);
  return passed(`${same} of ${counted(recorded.length, 'recorded value')} as at backup${rights}`, unasked);
}

function failureText({ state, message }: Extract<Answer, { kind: 'error' }>): string {
  return `failed (${state}): ${message}`;
}
