import { randomBytes } from 'node:crypto';
import type { Temporal } from 'temporal-polyfill';
import * as z from 'zod';

/**
 * A backup's or a run's id: UTC instant of its start to the second, then two characters for the part of the second and four
 * random ones, e.g. `20261120T020000Z-k3f9qa`. Sorts by time as text, also where one run follows another in the same second. The
 * instant in it names the object and nothing more: every decision takes the snapshot instant out of the signed manifest.
 */
export const idPattern = /^\d{8}T\d{6}Z-[0-9a-z]{6}$/;
export const IdSchema = z.string().regex(idPattern, 'an id looks like 20261120T020000Z-k3f9qa');
export type Id = string;

const alphabet = '0123456789abcdefghijklmnopqrstuvwxyz';

export type RandomBytes = (count: number) => Uint8Array;

export function newId(now: Temporal.Instant, random: RandomBytes = randomBytes): Id {
  const stamp = now.toString({ smallestUnit: 'second' }).replaceAll(/[-:]/g, '');
  // Of 36² parts: 0.8 ms each.
  const part = Math.floor(((now.epochMilliseconds % 1000) * alphabet.length ** 2) / 1000);
  // 36^4 = 1.7e6 in each part; modulo bias of a byte over 36 letters does not matter for a name.
  const letters = [Math.floor(part / alphabet.length), part, ...random(4)];
  return `${stamp}-${letters.map((letter) => alphabet.charAt(letter % alphabet.length)).join('')}`;
}

/** The repository's own first steps of keys (FORMAT.md). */
const ownNames: readonly string[] = ['runs', 'leases', 'readers', 'alerts', 'deleting.json', 'jetbackup.json', 'RECOVERY.md'];

/**
 * The configured name of a database, used as the first folder of its keys. Letters, digits, `.`, `_`, `-`;
 * 63 at most; starts with a letter or digit, so that no name is a path of its own (`..`) or an option (`-x`),
 * and none collides with the repository's own top-level names.
 */
export const DatabaseNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'letters, digits, ".", "_" and "-"; at most 63; starts with a letter or digit')
  .refine((name) => !ownNames.includes(name), 'this name is taken by the repository itself');
export type DatabaseName = string;
