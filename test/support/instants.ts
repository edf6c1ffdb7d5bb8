import { Temporal } from 'temporal-polyfill';
import { expect } from 'vitest';

/** Instants have no properties of their own, so without this any two of them are equal to `toEqual` and `toMatchObject`. */
export function compareInstantsByTime(): void {
  expect.addEqualityTesters([
    (a: unknown, b: unknown) => (a instanceof Temporal.Instant && b instanceof Temporal.Instant ? a.equals(b) : undefined),
  ]);
}
