import type { RestoreCheck } from './check.ts';

/** Every check of a restored database, in the order in which they run. A new one is one file in checks/ and one line here. */
export const allChecks: readonly RestoreCheck[] = [];
