import { Temporal } from 'temporal-polyfill';
import { expect } from 'vitest';

/*
 * The polyfill's values have no properties of their own, so that `toEqual` took any two instants for the same. Here they are
 * compared as what they say.
 */
const kinds = [Temporal.Instant, Temporal.ZonedDateTime, Temporal.PlainDate, Temporal.PlainDateTime, Temporal.PlainTime, Temporal.Duration];

function equal(a: unknown, b: unknown): boolean | undefined {
  const kind = kinds.find((one) => a instanceof one || b instanceof one);
  if (kind === undefined) return undefined;
  return a instanceof kind && b instanceof kind && String(a) === String(b);
}

expect.addEqualityTesters([equal]);
