import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.reactivestreams.Processor;
import org.reactivestreams.Publisher;
import org.reactivestreams.Subscriber;
import org.reactivestreams.Subscription;
import org.reactivestreams.tck.IdentityProcessorVerification;
import org.reactivestreams.tck.PublisherVerification;
import org.reactivestreams.tck.SubscriberBlackboxVerification;
import org.reactivestreams.tck.SubscriberWhiteboxVerification;
import org.reactivestreams.tck.TestEnvironment;
import org.testng.ITestResult;
import org.testng.TestListenerAdapter;
import org.testng.TestNG;

/**
 * Runs the Reactive Streams TCK against publishers, processors and subscribers that live in a Python process.
 *
 * <p>Both sides call one another over one loopback connection. A line is {@code call <id> <object> <method> <args...>},
 * {@code ret <id> <value>}, {@code raised <id> <error>} or {@code drop <object>}, separated by tabs; each call is
 * answered when it has returned over there, and calls run side by side, as they come. So what overlaps there overlaps
 * here, and a call that never returns is a test that fails.
 */
public final class Bridge {
  private static final long ANSWER_SECONDS = 30;

  private static Bridge bridge;
  private static TestEnvironment environment;

  private final OutputStream out;
  private final Map<String, Object> objects = new ConcurrentHashMap<>();
  private final Map<String, CompletableFuture<String>> calls = new ConcurrentHashMap<>();
  private final AtomicLong numbers = new AtomicLong();
  private final ExecutorService threads =
      Executors.newCachedThreadPool(
          run -> {
            Thread thread = new Thread(run, "called from Python");
            thread.setDaemon(true);
            return thread;
          });

  private Bridge(Socket socket) throws IOException {
    out = socket.getOutputStream();
    BufferedReader in = new BufferedReader(new InputStreamReader(socket.getInputStream(), UTF_8));
    threads.execute(() -> read(in));
  }

  public static void main(String[] args) throws Exception {
    try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), Integer.parseInt(args[0]))) {
      socket.setTcpNoDelay(true);
      bridge = new Bridge(socket);
      environment = new TestEnvironment(Long.parseLong(args[1]), Long.parseLong(args[2]), false);
      TestNG tests = new TestNG(false);
      tests.setVerbose(0);
      tests.setTestClasses(new Class<?>[] {Publishers.class, Processors.class, Whitebox.class, Blackbox.class});
      tests.addListener(new Results());
      tests.run();
    }
    System.exit(0);
  }

  // --- calling Python

  private String call(String object, String method, String... args) {
    String id = Long.toString(numbers.incrementAndGet());
    CompletableFuture<String> answer = new CompletableFuture<>();
    calls.put(id, answer);
    send("call\t" + id + "\t" + object + "\t" + method + (args.length == 0 ? "" : "\t" + String.join("\t", args)));
    try {
      return answer.get(ANSWER_SECONDS, TimeUnit.SECONDS);
    } catch (java.util.concurrent.ExecutionException raised) {
      throw (RuntimeException) raised.getCause();
    } catch (Exception unanswered) {
      throw new IllegalStateException(object + "." + method + " does not return", unanswered);
    }
  }

  private synchronized void send(String line) {
    try {
      out.write((line + "\n").getBytes(UTF_8));
      out.flush();
    } catch (IOException closed) {
      throw new IllegalStateException(closed);
    }
  }

  private void read(BufferedReader in) {
    try {
      for (String line = in.readLine(); line != null; line = in.readLine()) {
        String[] words = line.split("\t", -1);
        switch (words[0]) {
          case "ret" -> calls.remove(words[1]).complete(words[2]);
          case "raised" -> calls.remove(words[1]).completeExceptionally(error(words[2]));
          case "drop" -> objects.remove(words[1]);
          default -> threads.execute(() -> answer(words));
        }
      }
    } catch (IOException closed) {
      // The run is over.
    }
  }

  private void answer(String[] words) {
    String answer;
    try {
      called(objects.get(words[2]), words[3], words.length > 4 ? words[4] : null);
      answer = "ret\t" + words[1] + "\tnull";
    } catch (Throwable error) {
      answer = "raised\t" + words[1] + "\t" + word(error);
    }
    send(answer);
  }

  @SuppressWarnings("unchecked")
  private void called(Object object, String method, String arg) {
    switch (method) {
      case "on_subscribe" -> ((Subscriber<Integer>) object).onSubscribe(new RemoteSubscription(arg));
      case "on_next" -> ((Subscriber<Integer>) object).onNext(Integer.valueOf(arg));
      case "on_error" -> ((Subscriber<Integer>) object).onError(error(arg));
      case "on_complete" -> ((Subscriber<Integer>) object).onComplete();
      case "request" -> ((Subscription) object).request(Long.parseLong(arg));
      case "cancel" -> ((Subscription) object).cancel();
      default -> throw new IllegalArgumentException(method);
    }
  }

  // --- values as words

  private String keep(String kind, Object object) {
    if (object == null) {
      return "null";
    }
    String name = kind + numbers.incrementAndGet();
    objects.put(name, object);
    return name;
  }

  private String word(Throwable error) {
    return error == null ? "null" : keep("error", error) + ":" + URLEncoder.encode(String.valueOf(error), UTF_8);
  }

  /** An error of Python's by its kind and text; one that came from here is itself again. */
  private RuntimeException error(String word) {
    String[] parts = word.split(":", 2);
    String text = URLDecoder.decode(parts[1], UTF_8);
    if (objects.get(parts[0]) instanceof RuntimeException own) {
      return own;
    }
    return switch (parts[0]) {
      case "ValueError" -> new IllegalArgumentException(text);
      case "TypeError" -> new NullPointerException(text);
      default -> new RuntimeException(parts[0] + ": " + text);
    };
  }

  // --- Python's objects, seen from here

  private record RemoteSubscription(String name) implements Subscription {
    @Override
    public void request(long n) {
      bridge.call(name, "request", Long.toString(n));
    }

    @Override
    public void cancel() {
      bridge.call(name, "cancel");
    }
  }

  private static class Remote implements Processor<Integer, Integer> {
    final String name;

    Remote(String name) {
      this.name = name;
    }

    @Override
    public void subscribe(Subscriber<? super Integer> subscriber) {
      bridge.call(name, "subscribe", bridge.keep("subscriber", subscriber));
    }

    @Override
    public void onSubscribe(Subscription subscription) {
      bridge.call(name, "on_subscribe", bridge.keep("subscription", subscription));
    }

    @Override
    public void onNext(Integer item) {
      bridge.call(name, "on_next", String.valueOf(item));
    }

    @Override
    public void onError(Throwable error) {
      bridge.call(name, "on_error", bridge.word(error));
    }

    @Override
    public void onComplete() {
      bridge.call(name, "on_complete");
    }
  }

  // --- what is verified

  public static class Publishers extends PublisherVerification<Integer> {
    public Publishers() {
      super(environment);
    }

    @Override
    public Publisher<Integer> createPublisher(long elements) {
      return new Remote(bridge.call("factory", "publisher", Long.toString(elements)));
    }

    @Override
    public Publisher<Integer> createFailedPublisher() {
      return new Remote(bridge.call("factory", "failed_publisher"));
    }
  }

  public static class Processors extends IdentityProcessorVerification<Integer> {
    private final ExecutorService executor = Executors.newCachedThreadPool();

    public Processors() {
      super(environment);
    }

    @Override
    public Processor<Integer, Integer> createIdentityProcessor(int bufferSize) {
      return new Remote(bridge.call("factory", "processor", Integer.toString(bufferSize)));
    }

    @Override
    public Publisher<Integer> createFailedPublisher() {
      return new Remote(bridge.call("factory", "failed_publisher"));
    }

    @Override
    public long maxSupportedSubscribers() {
      return 1;
    }

    @Override
    public ExecutorService publisherExecutorService() {
      return executor;
    }

    @Override
    public Integer createElement(int element) {
      return element;
    }
  }

  public static class Whitebox extends SubscriberWhiteboxVerification<Integer> {
    public Whitebox() {
      super(environment);
    }

    @Override
    public Subscriber<Integer> createSubscriber(WhiteboxSubscriberProbe<Integer> probe) {
      return new Remote(bridge.call("factory", "subscriber", "0")) {
        @Override
        public void onSubscribe(Subscription subscription) {
          super.onSubscribe(subscription);
          probe.registerOnSubscribe(
              new SubscriberPuppet() {
                @Override
                public void triggerRequest(long elements) {
                  bridge.call(name, "take", Long.toString(elements));
                }

                @Override
                public void signalCancel() {
                  bridge.call(name, "leave");
                }
              });
        }

        @Override
        public void onNext(Integer item) {
          super.onNext(item);
          probe.registerOnNext(item);
        }

        @Override
        public void onError(Throwable error) {
          super.onError(error);
          probe.registerOnError(error);
        }

        @Override
        public void onComplete() {
          super.onComplete();
          probe.registerOnComplete();
        }
      };
    }

    @Override
    public Integer createElement(int element) {
      return element;
    }
  }

  public static class Blackbox extends SubscriberBlackboxVerification<Integer> {
    public Blackbox() {
      super(environment);
    }

    @Override
    public Subscriber<Integer> createSubscriber() {
      return new Remote(bridge.call("factory", "subscriber", "1000000"));
    }

    @Override
    public Integer createElement(int element) {
      return element;
    }
  }

  /** Says a line of each test: {@code passed Publishers.required_spec101...}, with the reason where it did not. */
  private static class Results extends TestListenerAdapter {
    @Override
    public void onTestSuccess(ITestResult test) {
      say("passed", test);
    }

    @Override
    public void onTestFailure(ITestResult test) {
      say("failed", test);
    }

    @Override
    public void onTestSkipped(ITestResult test) {
      say("skipped", test);
    }

    @Override
    public void onConfigurationFailure(ITestResult test) {
      say("failed", test);
    }

    private void say(String result, ITestResult test) {
      String name = test.getTestClass().getRealClass().getSimpleName() + "." + test.getName();
      String why = test.getThrowable() == null ? "" : String.valueOf(test.getThrowable()).replaceAll("\\s+", " ");
      System.out.println(result + "\t" + name + "\t" + why);
      System.out.flush();
    }
  }
}
