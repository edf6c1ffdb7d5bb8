/** Bounds of what one run may tell: warnings, and characters of each. A database may have a reason for one per table. */
const MOST = 20;
const COLUMNS = 500;

export interface WarningReader {
  /** Takes stderr as it comes, in pieces that end anywhere. */
  add(text: string): void;
  /** Each warning once, in the order they came, with the details given to it; at most 20, and a line for the others. */
  read(): string[];
}

/** Picks out of what a client program of PostgreSQL says that which it did not do, though it ends well. */
export function readWarnings(): WarningReader {
  const found = new Set<string>();
  let left = 0;
  let rest = '';
  let open: string | undefined;
  const close = () => {
    if (open !== undefined && !found.has(open)) {
      if (found.size < MOST) found.add(open);
      else left += 1;
    }
    open = undefined;
  };
  const take = (line: string) => {
    const [, kind, text] = /^pg_\w+: (warning|detail|hint): (.*)/.exec(line) ?? [];
    if (kind === 'warning') {
      close();
      open = text?.slice(0, COLUMNS);
    } else if (kind === undefined || text === undefined) close();
    else if (open !== undefined) open = `${open} ${text}`.slice(0, COLUMNS);
  };
  return {
    add(text) {
      const lines = (rest + text).split('\n');
      // A line that never ends is cut, not gathered.
      rest = (lines.pop() ?? '').slice(0, 4 * COLUMNS);
      for (const line of lines) take(line.trimEnd());
    },
    read() {
      take(rest);
      rest = '';
      close();
      return [...found, ...(left === 0 ? [] : [`and ${left} more`])];
    },
  };
}
