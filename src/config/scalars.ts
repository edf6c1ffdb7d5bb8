import * as z from 'zod';

/* How single texts of the configuration are read; what is no text was refused before. */

export const flag = z
  .string()
  .refine((value) => value === 'true' || value === 'false', 'must be true or false')
  .transform((value) => value === 'true');

export const whole = (least: number, most: number) =>
  z
    .string()
    .refine(
      (value) => /^\d{1,9}$/.test(value) && Number(value) >= least && Number(value) <= most,
      `must be a whole number from ${least} to ${most}`,
    )
    .transform(Number);

const units: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};

/** `512MB`, `2GiB`, `1048576`. */
export const bytes = z
  .string()
  .refine((value) => parseBytes(value) !== undefined, { message: 'must be a size', params: { remedy: 'Write 512MB, 2GB or 2GiB.' } })
  .transform((value) => parseBytes(value) ?? 0);

function parseBytes(value: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,3})?)\s*([a-z]{0,3})$/i.exec(value.trim());
  const unit = units[(match?.[2] ?? '-').toUpperCase()];
  if (match === null || unit === undefined) return undefined;
  const size = Math.round(Number(match[1]) * unit);
  return Number.isSafeInteger(size) ? size : undefined;
}

export const decimal = (least: number, most: number) =>
  z
    .string()
    .refine(
      (value) => /^\d{1,9}(\.\d{1,3})?$/.test(value) && Number(value) >= least && Number(value) <= most,
      `must be a number from ${least} to ${most}`,
    )
    .transform(Number);
