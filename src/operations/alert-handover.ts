import { createHash } from 'node:crypto';
import type { AlertState } from '../alerts/state.ts';
import type { ObjectStore } from '../storage/store.ts';

/* What becomes of what one process told while it could not write it down. Pure. */

/** Incidents that were told since `stored`: nobody but this process knows of them. */
export function toldSince(stored: AlertState, mine: AlertState): Set<string> {
  const isOpen = (of: AlertState, key: string) => of.incidents[key]?.phase === 'open';
  return new Set(Object.keys(mine.incidents).filter((key) => isOpen(mine, key) && !isOpen(stored, key)));
}

/** The stored state, with what this process alone has told since it saw it. */
export function joined(found: AlertState, mine: AlertState, own: ReadonlySet<string>): AlertState {
  const told = Object.entries(mine.incidents).filter(([key]) => own.has(key) && found.incidents[key] === undefined);
  // Of these alone: what else waits here another process may have delivered, and its end too.
  const outbox = mine.outbox.filter(({ notice: { rule, database, subject } }) =>
    told.some(([, one]) => one.rule === rule && one.database === database && one.subject === subject),
  );
  return { ...found, incidents: { ...Object.fromEntries(told), ...found.incidents }, outbox: [...found.outbox, ...outbox] };
}

/** What receivers file by until the repository's id can be read for the first time. */
export function provisionalName({ location }: ObjectStore): string {
  return `unread-${createHash('sha256').update(location).digest('hex').slice(0, 16)}`;
}
