import { inspect } from 'node:util';

/** A secret that no log line, error or JSON shows by accident; only `reveal()` gives it away. */
export interface Hidden {
  reveal(): string;
}

export function hidden(value: string): Hidden {
  const masked = () => '[hidden]';
  return Object.freeze({ reveal: () => value, toString: masked, toJSON: masked, [inspect.custom]: masked });
}
