import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { configChecks } from '../../../src/compose/compose.ts';
import type { Config } from '../../../src/config/config.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { problemsOf } from '../../../src/config/problems.ts';
import { retentionInput } from '../../../src/config/retention.ts';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'jetbackup-retention-'));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

function load(yaml: string | undefined, env: Record<string, string> = {}): Config {
  if (yaml !== undefined) writeFileSync(join(cwd, 'jetbackup.yaml'), yaml, { mode: 0o600 });
  return loadConfig({ cwd, env, search: [join(cwd, 'jetbackup.yaml')], checks: configChecks });
}

/** `place: message | remedy` of each problem. */
function complaints(yaml: string | undefined, env: Record<string, string> = {}): string[] {
  try {
    load(yaml, env);
  } catch (error) {
    return problemsOf(error).map(
      ({ source, line, column, message, remedy }) =>
        `${source}${line === undefined ? '' : `:${line}:${column}`}: ${message}${remedy === undefined ? '' : ` | ${remedy}`}`,
    );
  }
  return [];
}

const base = 'repository: s3://bucket/prefix?region=eu-central-1\n';
const shop = 'databases:\n  - name: shop\n    url: postgres://app@db/shop\n';
const none = { hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, minimumKeep: 0, keepWithin: undefined };

describe('retention in the configuration', () => {
  it('that is not set keeps everything', () => {
    expect(load(base + shop).databases[0]?.retention).toEqual({ policy: none, collapseRatio: 0.5 });
  });

  it('has its numbers, its preset and its times read', () => {
    const { databases } = load(
      `${base}retention: { preset: production-checklist, daily: 14, hourly: '\${HOURS}', yearly: 3, minimumKeep: 5, keepWithin: 36h, collapse: 30% }\n${shop}`,
      { HOURS: '24' },
    );
    expect(databases[0]?.retention).toEqual({
      policy: {
        hourly: 24,
        daily: 14,
        weekly: 4,
        monthly: 12,
        yearly: 3,
        minimumKeep: 5,
        keepWithin: { text: '36h', milliseconds: 36 * 3_600_000, months: 0 },
      },
      collapseRatio: 0.3,
    });
  });

  it('of a database stands instead of the default, as a whole', () => {
    const yaml = `${base}retention: { daily: 7, weekly: 4 }\n${shop}    retention: { daily: 2, collapse: off }\n  - name: other\n    url: postgres://app@db/other\n`;
    const [own, other] = load(yaml).databases;
    expect(own?.retention).toEqual({ policy: { ...none, daily: 2 }, collapseRatio: 0 });
    expect(other?.retention).toEqual({ policy: { ...none, daily: 7, weekly: 4 }, collapseRatio: 0.5 });
  });

  it('leaves a database that is not configured here alone, whatever the default', () => {
    const config = load(`${base}retention: { daily: 7 }\n${shop}`);
    expect(retentionInput(config, ['shop', 'other'])).toEqual({
      timeZone: 'UTC',
      databases: [
        { database: 'shop', policy: { ...none, daily: 7 }, collapseRatio: 0.5 },
        { database: 'other', policy: none, collapseRatio: 0.5 },
      ],
    });
  });

  it.each<[what: string, section: string, expected: string]>([
    ['a misspelt tier', '{ dayly: 7 }', 'jetbackup.yaml:2:14: unknown key "dayly"; did you mean "daily"?'],
    ['a number that is none', '{ daily: seven }', 'jetbackup.yaml:2:14: "retention.daily": must be a whole number from 0 to 100000'],
    ['a negative one', '{ daily: -1 }', 'jetbackup.yaml:2:14: "retention.daily": must be a whole number from 0 to 100000'],
    [
      'a preset',
      '{ preset: production-checklst }',
      'jetbackup.yaml:2:14: "retention.preset" must be one of production-checklist; did you mean "production-checklist"?',
    ],
    ['a time', '{ keepWithin: 5m }', 'jetbackup.yaml:2:14: "retention.keepWithin": must be a number and a unit (h, d, w, mo, y)'],
    [
      'a collapse',
      '{ collapse: half }',
      'jetbackup.yaml:2:14: "retention.collapse": must be a share from 1% to 99%, or off | collapse: 50%',
    ],
    ['a collapse of everything', '{ collapse: 100% }', 'jetbackup.yaml:2:14: "retention.collapse": must be a share'],
    ['a text where a section belongs', 'production-checklist', 'jetbackup.yaml:2:1: "retention" must be a section (key: value)'],
  ])('that is wrong is refused with its place: %s', (_, section, expected) => {
    expect(complaints(`${base}retention: ${section}\n${shop}`)).toEqual([expect.stringContaining(expected)]);
  });

  it('of a database that is wrong is refused with its place, too', () => {
    expect(complaints(`${base}${shop}    retention: { weekly: x, montly: 3 }\n`)).toEqual([
      expect.stringMatching(/^jetbackup\.yaml:5:18: "databases\[0\]\.retention\.weekly": must be a whole number/),
      expect.stringMatching(/^jetbackup\.yaml:5:29: unknown key "montly"; did you mean "monthly"\?/),
    ]);
  });
});

describe('JETBACKUP_RETENTION', () => {
  const env = { JETBACKUP_REPOSITORY: 'file:///b', DATABASE_URL: 'postgres://app@db/shop' };
  const policy = (JETBACKUP_RETENTION: string) => load(undefined, { ...env, JETBACKUP_RETENTION }).databases[0]?.retention;

  it.each([
    ['production-checklist', { daily: 7, weekly: 4, monthly: 12 }],
    ['daily=7,weekly=4,monthly=12', { daily: 7, weekly: 4, monthly: 12 }],
    ['production-checklist, yearly = 3', { daily: 7, weekly: 4, monthly: 12, yearly: 3 }],
  ])('"%s" says what a section would', (text, expected) => {
    expect(policy(text)).toEqual({ policy: { ...none, ...expected }, collapseRatio: 0.5 });
  });

  it('takes collapse and keepWithin as well', () => {
    expect(policy('daily=7,keepWithin=30d,collapse=off')).toMatchObject({ policy: { keepWithin: { text: '30d' } }, collapseRatio: 0 });
  });

  it.each([
    ['dayly=7', 'JETBACKUP_RETENTION: unknown key "dayly"; did you mean "daily"?'],
    ['checklist', 'JETBACKUP_RETENTION: "databases[0].retention.preset" must be one of production-checklist'],
    ['daily=', 'JETBACKUP_RETENTION: "databases[0].retention.daily": must be a whole number'],
  ])('"%s" is refused', (text, expected) => {
    expect(complaints(undefined, { ...env, JETBACKUP_RETENTION: text })).toEqual([expect.stringContaining(expected)]);
  });

  it('does not change what a file says of its databases', () => {
    expect(load(`${base}${shop}`, { JETBACKUP_RETENTION: 'daily=1' }).databases[0]?.retention.policy).toEqual(none);
  });
});

describe('the profile that prune uses', () => {
  it('comes from the file or from JETBACKUP_PRUNE_PROFILE', () => {
    expect(load(`${base}${shop}prune: { profile: deleter }\n`).pruneProfile).toBe('deleter');
    expect(load(undefined, { JETBACKUP_PRUNE_PROFILE: 'other' }).pruneProfile).toBe('other');
    expect(load(`${base}${shop}`).pruneProfile).toBeUndefined();
  });

  it('is refused where the repository is a directory', () => {
    const yaml = `repository: file:///b\n${shop}prune: { profile: deleter }\n`;
    expect(complaints(yaml)).toEqual([expect.stringContaining('jetbackup.yaml:5:10: "prune.profile": a directory knows no AWS profile')]);
    expect(complaints(`repository: ./b\n${shop}`, { JETBACKUP_PRUNE_PROFILE: 'x' })).toEqual([
      expect.stringContaining('JETBACKUP_PRUNE_PROFILE: "prune.profile": a directory'),
    ]);
  });

  it('does not hide what is wrong with the repository itself', () => {
    expect(complaints(`repository: gs://b\n${shop}prune: { profile: deleter }\n`)).toEqual([
      expect.stringContaining('a repository cannot be at gs://'),
    ]);
  });
});
