import { describe, expect, test } from 'vitest';
import { limitsAnything, parseDuration, RetentionPolicySchema, resolvePolicy } from '../../../retention/policy.ts';
import { presetNames, presets } from '../../../retention/presets/presets.ts';

const nothing = { hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, minimumKeep: 0, keepWithin: undefined };
const resolved = (input: unknown) => resolvePolicy(RetentionPolicySchema.parse(input));

describe('a policy', () => {
  test('that is missing or empty has no figures, and limits nothing', () => {
    expect(resolvePolicy(undefined)).toEqual(nothing);
    expect(resolved({})).toEqual(nothing);
    expect(limitsAnything(resolved({ daily: 0, monthly: 0 }))).toBe(false);
  });

  test('of the production checklist keeps 7 days, 4 weeks and 12 months', () => {
    expect(resolved({ preset: 'production-checklist' })).toEqual({ ...nothing, daily: 7, weekly: 4, monthly: 12 });
  });

  test('starts from its preset, and what stands beside wins, zero too', () => {
    const policy = resolved({ preset: 'production-checklist', daily: 14, weekly: 0, yearly: 3, minimumKeep: 2 });
    expect(policy).toEqual({ ...nothing, daily: 14, monthly: 12, yearly: 3, minimumKeep: 2 });
  });

  test('with a minimum and nothing else limits nothing', () => {
    expect(limitsAnything(resolved({ minimumKeep: 3 }))).toBe(false);
    expect(limitsAnything(resolved({ keepWithin: '30d' }))).toBe(true);
    expect(limitsAnything(resolved({ yearly: 1 }))).toBe(true);
  });

  test.each([
    [{ dialy: 7 }, 'dialy'],
    [{ daily: -1 }, 'must not be negative'],
    [{ daily: 1.5 }, 'must be a whole number'],
    [{ daily: '7' }, 'must be a whole number'],
    [{ daily: 1e6 }, 'must be at most 100000'],
    [{ preset: 'production' }, 'production-checklist'],
    [{ keepWithin: '30 days' }, '36h, 30d, 8w, 12mo, 1y'],
    [{ keepWithin: '0d' }, 'must be longer than nothing'],
    [{ keepWithin: '101y' }, 'at most a hundred years: 100y'],
  ])('%j is refused with %j', (input, message) => {
    const { error } = RetentionPolicySchema.safeParse(input);
    expect(JSON.stringify(error?.issues)).toContain(message);
  });
});

test.each([
  ['36h', 36 * 3_600_000, 0],
  ['30d', 30 * 86_400_000, 0],
  ['8w', 56 * 86_400_000, 0],
  ['12mo', 0, 12],
  ['1y', 0, 12],
])('%s is %d ms and %d months', (text, milliseconds, months) => {
  expect(parseDuration(text)).toEqual({ text, milliseconds, months });
});

test('every preset has its name, and every name its preset', () => {
  expect([...presetNames].sort()).toEqual(Object.keys(presets).sort());
});
