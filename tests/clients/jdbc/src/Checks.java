/** What the judge finds, line by line, and its verdict as an exit code. */
final class Checks {
    /** One check; it fails by throwing. */
    interface Check {
        void run() throws Exception;
    }

    private int passed;
    private int failed;

    /** Runs one check and prints how it went. */
    void check(String name, Check check) {
        try {
            check.run();
            passed++;
            System.out.println("ok      " + name);
        } catch (Exception | AssertionError error) {
            failed++;
            System.out.println("FAILED  " + name + ": " + error);
            error.printStackTrace(System.out);
        }
    }

    /** Prints the count that the test runner adds up, and ends the process. */
    void finish() {
        boolean holds = failed == 0 && passed > 0;
        System.out.println("checks: " + passed + " passed, " + failed + " failed");
        System.out.println((holds ? "PASS" : "FAIL") + " Flight SQL JDBC driver");
        System.out.flush();
        System.exit(holds ? 0 : 1);
    }

    static void equal(Object expected, Object found) {
        if (!java.util.Objects.equals(expected, found)) {
            throw new AssertionError("expected " + expected + ", found " + found);
        }
    }

    static void holds(boolean fact, String otherwise) {
        if (!fact) {
            throw new AssertionError(otherwise);
        }
    }
}
