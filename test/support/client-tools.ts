import { extractClientTools, installedPrograms } from '../../scripts/client-tools.ts';
import { type PostgresMajor, postgresImage } from './postgres.ts';

/** The folder of pg_dump, pg_dumpall, pg_restore and psql of exactly this major: the machine's own, else out of the test image. */
export async function clientTools(major: PostgresMajor): Promise<{ readonly directory: string }> {
  const directory = await installedPrograms(major);
  return directory === undefined ? await extractClientTools(postgresImage(major), major) : { directory };
}
