import { $ } from 'zx';

/** Pulls an image that the container engine does not have. The signal ends the pulling, which leaves nothing half done; without one Ctrl-C does. */
export async function pullMissing(image: string, signal?: AbortSignal): Promise<void> {
  const run = $({ quiet: true, detached: signal !== undefined });
  if ((await run({ nothrow: true })`docker image inspect ${image}`).exitCode === 0) return;
  await run(signal === undefined ? {} : { signal })`docker pull --quiet ${image}`;
}
