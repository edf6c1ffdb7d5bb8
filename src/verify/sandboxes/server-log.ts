/** What a server that is ours says on stderr, as far as it tells of the server's own trouble. */
export interface ServerLog {
  /** In pieces that end anywhere. */
  add(text: string): void;
  /** The first line that tells of the end of the disk, of memory or of a process of the server's; without what stands before it. */
  symptom(): string | undefined;
  /** The last FATAL or PANIC, else the last LOG. */
  lastWord(): string | undefined;
}

/** A line that is longer is no message of the server's own, or its beginning is enough. */
const LINE_MAX = 2_000;

const message = /(?:^|\s)(PANIC|FATAL|ERROR|LOG): {1,2}(.*)$/;
const symptoms =
  /No space left on device|Disk quota exceeded|Cannot allocate memory|^out of memory|was terminated by signal|could not fork|^could not (?:write|fsync|extend|read)[^"]*"[^"]*": (?:Input\/output error|Read-only file system)/;

export function serverLog(): ServerLog {
  let line = '';
  let symptom: string | undefined;
  let severe: string | undefined;
  let last: string | undefined;
  const read = (text: string) => {
    const match = message.exec(text);
    if (match === null) return;
    const [, severity = '', words = ''] = match;
    if (symptom === undefined && (severity === 'PANIC' || symptoms.test(words))) symptom = words;
    // An ERROR is somebody's statement, and says nothing of why the server ended.
    if (severity === 'FATAL' || severity === 'PANIC') severe = words;
    else if (severity === 'LOG') last = words;
  };
  return {
    add(text) {
      const [first = '', ...more] = text.split('\n');
      line = (line + first).slice(0, LINE_MAX);
      for (const next of more) {
        read(line);
        line = next.slice(0, LINE_MAX);
      }
    },
    symptom: () => symptom,
    lastWord: () => severe ?? last,
  };
}
