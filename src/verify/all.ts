import type { RestoreCheck } from './check.ts';
import { amcheck } from './checks/amcheck.ts';
import { canary } from './checks/canary.ts';
import { constraints } from './checks/constraints.ts';
import { encoding } from './checks/encoding.ts';
import { fingerprint } from './checks/fingerprint.ts';
import { indexes } from './checks/indexes.ts';
import { inventory } from './checks/inventory.ts';
import { queries } from './checks/queries.ts';
import { values } from './checks/values.ts';

/** Every check of a restored database, in the order in which they run. A new one is one file in checks/ and one line here. */
export const allChecks: readonly RestoreCheck[] = [
  encoding,
  fingerprint,
  inventory,
  constraints,
  indexes,
  amcheck,
  values,
  canary,
  queries,
];
