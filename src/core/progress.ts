/** What an operation tells while it runs. Renderers (terminal, log lines, none) live in cli/. */
export type ProgressEvent =
  /** A run has begun, whose record will be found by this id; what follows is about it. */
  | { readonly type: 'run'; readonly id: string; readonly operation: string; readonly database: string }
  | { readonly type: 'phase'; readonly phase: string; readonly text: string; readonly totalBytes?: number }
  /** Bytes done so far in the phase; `totalBytes` is an estimate unless the reader knows better. */
  | { readonly type: 'bytes'; readonly phase: string; readonly bytes: number; readonly totalBytes?: number }
  | { readonly type: 'done'; readonly phase: string; readonly ms: number; readonly bytes?: number }
  | { readonly type: 'note'; readonly text: string }
  | { readonly type: 'warning'; readonly text: string; readonly hint?: string };

/** Called often and synchronously; must not throw and must return at once. */
export type Progress = (event: ProgressEvent) => void;

export const silent: Progress = () => {};
