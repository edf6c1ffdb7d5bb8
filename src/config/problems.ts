import { closest, distance } from 'fastest-levenshtein';
import { JetbackupError } from '../core/errors.ts';

/** One thing that is wrong with the configuration, where, and what to do about it. */
export interface Problem {
  /** `jetbackup.yaml`, or the environment variable's name. */
  readonly source: string;
  readonly line?: number;
  readonly column?: number;
  readonly message: string;
  readonly remedy?: string;
}

export function formatProblem(problem: Problem): string {
  const place = problem.line === undefined ? problem.source : `${problem.source}:${problem.line}:${problem.column ?? 1}`;
  return `${place}: ${problem.message}${problem.remedy === undefined ? '' : `\n    ${problem.remedy}`}`;
}

/** The cause of a `config-invalid` error that came of reading the configuration: every problem, in the order of the file. */
export class ConfigProblems extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.name = 'ConfigProblems';
    this.problems = problems;
  }
}

export function problemsOf(error: unknown): readonly Problem[] {
  return error instanceof Error && error.cause instanceof ConfigProblems ? error.cause.problems : [];
}

export function configInvalid(problems: readonly Problem[]): JetbackupError {
  const lines = problems.map((problem) => `  ${formatProblem(problem)}`).join('\n');
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
  return new JetbackupError('config-invalid', `the configuration has ${count}:\n${lines}`, { cause: new ConfigProblems(problems) });
}

/** `did you mean "databases"?` when a known word is near enough to be meant (a third of its letters at most). */
export function didYouMean(word: string, known: readonly string[]): string | undefined {
  if (known.length === 0) return undefined;
  const lower = word.toLowerCase();
  const exact = known.find((candidate) => candidate.toLowerCase() === lower);
  const nearest = exact ?? closest(word, known);
  const far = distance(lower, nearest.toLowerCase()) > Math.max(1, Math.floor(Math.max(word.length, nearest.length) / 3));
  return far ? undefined : `did you mean "${nearest}"?`;
}
