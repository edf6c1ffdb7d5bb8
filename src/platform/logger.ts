import pino from 'pino';
import pretty from 'pino-pretty';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Values that may stand beside a log line. No objects: what has structure could carry a connection or a key along. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export type Logger = (level: LogLevel, text: string, fields?: LogFields) => void;

export interface LoggerOptions {
  /** The least level that is written. */
  readonly level: LogLevel;
  /** `json` for collectors, `text` for people. */
  readonly format: 'json' | 'text';
  readonly color: boolean;
  /** Takes secrets out of the text and every field. */
  readonly redact: (text: string) => string;
  readonly write: (line: string) => void;
}

/** Log lines with UTC times, one a line. Synchronous: what was logged before a crash is there. */
export function createLogger({ level, format, color, redact, write }: LoggerOptions): Logger {
  const sink = { write };
  // pino-pretty as a plain function: a transport would run in a thread of its own and lose the last lines of a crash.
  const humanize = pretty.prettyFactory({
    colorize: color,
    ignore: 'pid,hostname',
    hideObject: true,
    translateTime: "UTC:yyyy-mm-dd'T'HH:MM:ss'Z'",
  });
  const destination = format === 'json' ? sink : { write: (line: string) => sink.write(humanize(line)) };
  const logger = pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    destination,
  );
  // Before it becomes JSON: what redaction takes out of a finished line could be half of its structure.
  const clean = (fields: LogFields) =>
    Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, typeof value === 'string' ? redact(value) : value]));
  return (at, text, fields = {}) => logger[at](clean(fields), redact(text));
}
