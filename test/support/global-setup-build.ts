import { build } from '../../scripts/build.ts';

/** End-to-end tests run dist/main.js as a user does, so it must be what src says now. `npm test` has built already. */
export default async function setup(): Promise<void> {
  if (process.env['JETBACKUP_TEST_BUILT'] !== '1') await build();
}
