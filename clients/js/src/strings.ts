/** All words of the element. Replace any of them, or all, for another language. */
export interface PouwStrings {
  /** Name of the progress bar. */
  label: string;
  /** While the work is done. */
  working: string;
  /** When it is done and the server's wait is not over. */
  waiting: string;
  /** When the server has no task for now, and the request is sent again later. */
  held: string;
  /** When the server took the answer. */
  accepted: string;
  /** When the request did not get through. */
  failed: string;
  /** Value of the progress bar in words. */
  value: (done: number, total: number) => string;
}

/** The words in English. */
export const english: PouwStrings = {
  label: 'Progress of a small task',
  working:
    'This service is busy. Your device does a small useful task to get through; nothing else is needed.',
  waiting: 'The task is done. It is nearly your turn.',
  held: 'There is no task for now. Your request goes on by itself; nothing else is needed.',
  accepted: 'Done. You are through.',
  failed: 'That did not work. Please try again in a moment.',
  value: (done, total) => `${done} of ${total} steps`,
};
