import manifest from '../package.json' with { type: 'json' };

/** Of jetbackup itself. package.json lies one folder up both here and in the build. */
export const version: string = manifest.version;
