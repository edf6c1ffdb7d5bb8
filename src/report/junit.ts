import { create } from 'xmlbuilder2';

/** One test case of a report: a check of a backup, or what kept the checks from running. */
export interface JunitCase {
  readonly name: string;
  readonly seconds: number;
  readonly kind: 'pass' | 'skip' | 'fail' | 'error';
  readonly text: string;
  /** Of a failure or an error. */
  readonly detail: string;
}

export interface JunitSuite {
  /** `jetadmin 20261120T020000Z-k3f9qa` */
  readonly name: string;
  /** ISO 8601. */
  readonly timestamp: string;
  readonly cases: readonly JunitCase[];
}

/**
 * A report in the format that CI servers read (https://github.com/testmoapp/junitxml). A backup that could not be verified is an
 * error, not a skipped test: servers colour those green.
 */
export function junitReport(suites: readonly JunitSuite[]): string {
  const root = create({ version: '1.0', encoding: 'UTF-8', invalidCharReplacement: '\uFFFD' }).ele('testsuites', totals(suites));
  for (const suite of suites) {
    const element = root.ele('testsuite', { name: suite.name, timestamp: suite.timestamp, ...totals([suite]) });
    for (const { name, seconds, kind, text, detail } of suite.cases) {
      const test = element.ele('testcase', { classname: suite.name, name, time: seconds.toFixed(3) });
      if (kind === 'pass') test.ele('system-out').txt(text);
      else if (kind === 'skip') test.ele('skipped', { message: text });
      else test.ele(kind === 'fail' ? 'failure' : 'error', { message: text }).txt(detail);
    }
  }
  return `${root.end({ prettyPrint: true })}\n`;
}

function totals(suites: readonly JunitSuite[]): Record<string, string> {
  const cases = suites.flatMap((suite) => suite.cases);
  const count = (wanted: JunitCase['kind']) => String(cases.filter(({ kind }) => kind === wanted).length);
  const time = cases.reduce((sum, { seconds }) => sum + seconds, 0).toFixed(3);
  return { tests: String(cases.length), failures: count('fail'), errors: count('error'), skipped: count('skip'), time };
}
