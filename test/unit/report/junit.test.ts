import { describe, expect, it } from 'vitest';
import { create } from 'xmlbuilder2';
import { junitReport } from '../../../src/report/junit.ts';

describe('a JUnit report', () => {
  const report = junitReport([
    {
      name: 'shop 20261120T020000Z-k3f9qa',
      timestamp: '2026-11-20T03:00:00Z',
      cases: [
        { name: 'fingerprint', seconds: 1.5, kind: 'fail', text: '1 table differs', detail: '"a" <b> ]]> \u0000 end\nsecond line' },
        { name: 'amcheck', seconds: 0, kind: 'skip', text: 'not installed', detail: '' },
        { name: 'restore', seconds: 2, kind: 'pass', text: 'well', detail: '' },
      ],
    },
    {
      name: 'crm',
      timestamp: '2026-11-20T03:00:00Z',
      cases: [{ name: 'verify', seconds: 0, kind: 'error', text: 'no engine', detail: 'hint: start it' }],
    },
  ]);

  it('is well-formed whatever the messages hold, and counts each kind', () => {
    const parsed = create(report).root().toObject() as { testsuites: Record<string, string> };
    expect(parsed.testsuites).toMatchObject({ '@tests': '4', '@failures': '1', '@errors': '1', '@skipped': '1', '@time': '3.500' });
  });

  it('makes a backup that could not be verified an error, which no server takes for a pass', () => {
    expect(report).toContain('<error message="no engine">hint: start it</error>');
    expect(report).not.toContain('<skipped message="no engine"');
  });

  it('names each check with what it found', () => {
    expect(report).toMatch(
      /<testcase classname="shop 20261120T020000Z-k3f9qa" name="fingerprint" time="1\.500">\s*<failure message="1 table differs">/,
    );
    expect(report).toContain('<skipped message="not installed"/>');
  });
});
