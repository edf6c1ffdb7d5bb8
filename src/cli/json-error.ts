import * as z from 'zod';
import { catalogue, type ErrorCode } from '../core/errors.ts';

const codes = Object.keys(catalogue) as [ErrorCode, ...ErrorCode[]];

/** Any error in a document: its code and exit status are those of the catalogue. */
export const ErrorBody = z.strictObject({
  code: z.enum(codes),
  message: z.string(),
  hint: z.string().nullable(),
  exitCode: z.int(),
  /** config-invalid: each problem with its place. */
  problems: z
    .array(
      z.strictObject({
        source: z.string(),
        line: z.int().nullable(),
        column: z.int().nullable(),
        message: z.string(),
        remedy: z.string().nullable(),
      }),
    )
    .optional(),
});
