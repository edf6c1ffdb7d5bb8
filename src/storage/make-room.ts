/** For hints where a store is full. Deleting by hand is the most dangerous thing that a hint could lead to: it says what must stay. */
export const MAKE_ROOM =
  'If older backups must go for it: each is one folder, DATABASE/ID/. Remove whole folders of backups that `jetbackup list` shows and you know you need no more, never the newest one that you have seen restore, and nothing else in the repository.';
