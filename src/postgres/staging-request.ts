import type { Source } from '../core/manifest.ts';
import type { RestoreChoices } from './target.ts';

/** What a restore asks of the database that it makes. */
export interface StagingRequest extends RestoreChoices {
  readonly source: Source;
  /** The name that it is to have in the end; its staging name begins with it. */
  readonly finalName: string;
  readonly runId: string;
  /** Owner in the end; default: the source's owner, or with `noOwner` the connected role. */
  readonly owner?: string;
}
