import { JetbackupError } from '../../core/errors.ts';
import type { Progress } from '../../core/progress.ts';
import type { Clock } from '../../platform/clock.ts';
import { type Engine, engineError, engineMessage, inTime, statusOf } from './container-engine.ts';

export interface Image {
  /** As the engine knows it. */
  readonly name: string;
  /** Paths for which the image wants volumes of its own. */
  readonly volumes: readonly string[];
}

/** An image of 2 GB over 10 Mbit/s. */
const PULL_MS = 1_800_000;

/** The image, pulled where the engine has not got it. Throws `sandbox-unavailable` with the line to type where it cannot be had. */
export async function provideImage(
  engine: Engine,
  wanted: string,
  { clock, log }: { readonly clock: Clock; readonly log: Progress },
  signal: AbortSignal,
): Promise<Image> {
  const { ImageName } = await import('testcontainers');
  const image = ImageName.fromString(wanted);
  const name = image.string;
  const here = await inspect(engine, name, clock, signal);
  if (here !== undefined) return here;
  log({ type: 'note', text: `pulling the image ${name}` });
  let why = 'the registry gave none';
  try {
    await inTime(clock, signal, () => engine.client.image.pull(image, { force: true, platform: undefined }), PULL_MS);
    const pulled = await inspect(engine, name, clock, signal);
    // What fails after the first byte ends the client's pull as if it were complete.
    if (pulled !== undefined) return pulled;
  } catch (error) {
    signal.throwIfAborted();
    why = engineMessage(error);
  }
  throw new JetbackupError('sandbox-unavailable', `the container engine does not have the image ${name}, and could not pull it: ${why}`, {
    hint:
      `Pull it where the registry can be reached: docker pull ${name}. Or name an image that the engine has: ` +
      'verify.image (JETBACKUP_SANDBOX_IMAGE), in which {major} stands for the major version.',
  });
}

async function inspect({ docker }: Engine, name: string, clock: Clock, signal: AbortSignal): Promise<Image | undefined> {
  try {
    const { Config } = await inTime(clock, signal, () => docker.getImage(name).inspect());
    return { name, volumes: Object.keys(Config.Volumes ?? {}) };
  } catch (error) {
    signal.throwIfAborted();
    if (statusOf(error) === 404) return undefined;
    throw engineError(error, `look for the image ${name}`);
  }
}
