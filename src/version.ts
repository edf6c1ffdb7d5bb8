import manifest from '../package.json' with { type: 'json' };

/** Of jetbackup itself. */
export const version: string = manifest.version;
