import { InvalidArgumentError } from 'commander';

/** `--jobs`, as pg_restore counts them. */
export function parseJobs(text: string): number {
  const jobs = /^\d{1,2}$/.test(text) ? Number(text) : 0;
  if (jobs < 1 || jobs > 64) throw new InvalidArgumentError('Write a number from 1 to 64.');
  return jobs;
}
