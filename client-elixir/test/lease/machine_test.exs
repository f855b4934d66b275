defmodule Sidewinder.Lease.MachineTest do
  @moduledoc "What a lease decides, with a clock of the test's own."
  use ExUnit.Case, async: true

  alias Sidewinder.Error
  alias Sidewinder.Lease.{Machine, Report}
  alias Sidewinder.Proto.{Beat, Event, FromClient, Granted, Hello, ToClient}
  alias Sidewinder.Proto.Google.{Duration, Timestamp}

  @hello %Hello{name: "test", run: "r"}

  test "it says hello, and beats three times in four intervals" do
    {m, [{:open, hello}]} = Machine.handle(Machine.new(@hello), :start, 0)
    assert {:hello, @hello} = said(hello)
    {m, [{:granted, %{lease: "l", epoch: 1, resumed: false}}]} = granted(m, 5)
    assert Machine.wake_at(m) == 5
    {m, [{:send, first}, {:beat_sent, %{sequence: 1, load: 7}}]} = Machine.handle(m, {:wake, 7, 5_000}, 5)
    assert {:beat, %Beat{sequence: 1, answers: 0, held: nil, load: 7}} = said(first)
    assert Machine.wake_at(m) == 5 + 750
    {m, []} = Machine.handle(m, {:wake, 7, 6_000}, 6)
    {_m, [{:send, second}, _]} = Machine.handle(m, {:wake, 7, 755_000}, 755)
    assert {:beat, %Beat{sequence: 2}} = said(second)
  end

  test "it beats when the daemon asks for it, within half an interval of the interval" do
    for {next, due} <- [{820_000, 820}, {820_001, 821}, {1, 500}, {0, 500}, {9_000_000, 1_000}] do
      {m, _} = Machine.handle(attached(0), {:wake, 0, 1_000}, 1)
      assert Machine.wake_at(m) == 751
      {m, _} = beat(m, %Beat{sequence: 1, answers: 1, next: us(next)}, 10, 10_000)
      assert Machine.wake_at(m) == 10 + due
      # Of its own accord it beats as ever.
      {m, _} = Machine.handle(m, {:wake, 0, 1_010_000}, 1_010)
      assert m.next_beat == 1_010 + 750
    end
  end

  test "a beat that is overdue is not put off by one of the daemon" do
    {m, _} = Machine.handle(attached(0), {:wake, 0, 1_000}, 1)
    {m, _} = beat(m, %Beat{sequence: 1, answers: 1, next: us(820_000)}, 751, 751_000)
    assert Machine.wake_at(m) == 751
    assert {_, [{:send, _}, {:beat_sent, %{sequence: 2}}]} = Machine.handle(m, {:wake, 0, 752_000}, 752)
  end

  test "round trips are measured without the time that the other side took" do
    m = attached(0)
    {m, _} = Machine.handle(m, {:wake, 0, 1_000}, 1)
    {m, [{:heard, heard}]} = beat(m, %Beat{sequence: 9, answers: 1, held: us(400)}, 2, 2_500)
    assert heard == %{sequence: 9, round_trip_us: 1_100}
    # Each of our beats is measured once.
    {m, [{:heard, %{round_trip_us: nil}}]} = beat(m, %Beat{sequence: 10, answers: 1, held: us(0)}, 3, 9_000)
    # And we say how long we took.
    {_m, [{:send, ours}, _]} = Machine.handle(m, {:wake, 0, 760_000}, 760)
    assert {:beat, %Beat{answers: 10, held: held}} = said(ours)
    assert held == us(751_000)
  end

  test "a silent daemon is told of, and then hung up on" do
    {m, effects} = run(attached(0), 1, 1_499)
    refute Enum.any?(effects, &match?({:missed, _}, &1))
    {m, effects} = run(m, 1_500, 1_500)
    assert {:missed, 1_500} in effects
    {m, effects} = run(m, 1_501, 9_999)
    refute Enum.any?(effects, &(match?({:missed, _}, &1) or &1 == :hang_up))
    {m, effects} = run(m, 10_000, 10_000)
    assert :hang_up in effects and {:lost, {:silent, 10_000}} in effects
    assert m.phase == :resting
  end

  test "the daemon is not blamed for our own sleep" do
    {m, _} = run(attached(0), 1, 700)
    # A minute passes in which nobody runs.
    {m, effects} = Machine.handle(m, {:wake, 0, 60_000_000}, 60_000)
    refute :hang_up in effects
    assert {:send, _} = hd(effects)
    {_m, [{:heard, _}]} = beat(m, %Beat{sequence: 2}, 60_001, 60_001_000)
  end

  test "a broken line is tried again, later each time, up to a bound" do
    m = attached(0)

    {_, pauses} =
      Enum.reduce(1..12, {m, []}, fn _, {m, pauses} ->
        now = 1_000 * length(pauses)
        {m, effects} = Machine.handle(m, {:closed, %Error{code: :unavailable, reason: :unavailable}}, now)
        refute Enum.any?(effects, &match?({:open, _}, &1))
        pause = Machine.wake_at(m) - now
        {m, [{:open, _}]} = Machine.handle(m, :wake, now + pause)
        {m, [pause | pauses]}
      end)

    pauses = Enum.reverse(pauses)
    %{pause_min: least, pause_max: most} = Machine.bounds()
    assert hd(pauses) in div(least, 2)..least
    assert List.last(pauses) in div(most, 2)..most
    assert Enum.all?(pauses, &(&1 <= most))
  end

  test "a lease that has ended is attached again at once, but not for ever" do
    ended = %Error{reason: :lease_expired, code: :failed_precondition}
    {m, effects} = Machine.handle(attached(0), {:closed, ended}, 10)
    assert [{:lost, ^ended}, {:open, hello}] = effects
    assert {:hello, @hello} = said(hello)
    {m, [{:refused, ^ended, pause}]} = Machine.handle(m, {:closed, ended}, 20)
    assert m.phase == :resting and pause > 0
  end

  test "an answer that never comes is not waited for" do
    {m, _} = Machine.handle(Machine.new(@hello), :start, 0)
    at = Machine.wake_at(m)
    assert at == Machine.bounds().open
    {m, []} = Machine.handle(m, :wake, at - 1)
    {m, effects} = Machine.handle(m, :wake, at)
    assert :hang_up in effects and m.phase == :resting
  end

  test "what no clock can wait for is not believed" do
    %{interval_min: shortest, interval_max: longest, ttl_max: ttl_max} = Machine.bounds()

    for {seconds, interval, ttl} <- [
          {0x7FFFFFFFFFFFFFFF, longest, ttl_max},
          {-0x8000000000000000, shortest, shortest},
          {0, shortest, shortest}
        ] do
      {m, _} = Machine.handle(Machine.new(@hello), :start, 0)
      granted = %Granted{lease: "l", epoch: 1, interval: %Duration{seconds: seconds}, ttl: %Duration{seconds: seconds}}
      {m, [{:granted, told}]} = Machine.handle(m, {:message, %ToClient{part: {:granted, granted}}, 5_000}, 5)
      assert %{interval: ^interval, ttl: ^ttl} = told
      {m, _} = Machine.handle(m, {:wake, 0, 5_000}, 5)
      assert Machine.wake_at(m) in 5..(5 + longest)
    end
  end

  test "a moment that no calendar has is none" do
    at = fn seconds ->
      Report.event(%Event{what: :HAPPENING_WORKER_GONE, at: %Timestamp{seconds: seconds, nanos: 5_000}}).at
    end

    assert at.(0) == ~U[1970-01-01 00:00:00.000005Z]
    for seconds <- [0x7FFFFFFFFFFFFFFF, -0x8000000000000000], do: assert(at.(seconds) == nil)
    assert Report.event(%Event{}).at == nil
  end

  test "an older daemon knows nothing of leases" do
    {m, _} = Machine.handle(Machine.new(@hello), :start, 0)
    {m, [:unsupported]} = Machine.handle(m, {:closed, %Error{code: :unimplemented}}, 5)
    assert Machine.wake_at(m) == 5_005
  end

  test "a refused call attaches again, if it was by the lease that is held" do
    m = attached(0)
    assert {^m, []} = Machine.handle(m, {:refused_call, {"l", 0}}, 5)
    {m, effects} = Machine.handle(m, {:refused_call, {"l", 1}}, 5)
    assert [:hang_up, {:lost, :refused}, {:open, _}] = effects

    {_m, [{:granted, %{epoch: 2, resumed: true}}]} =
      granted(m, 6, %Granted{lease: "l", epoch: 2, resumed: true, run: "d"})
  end

  test "another run of the daemon is noticed" do
    {m, _} = Machine.handle(attached(0), {:refused_call, {"l", 1}}, 5)
    {_m, [{:granted, told}]} = granted(m, 6, %Granted{lease: "n", epoch: 1, run: "other"})
    assert told.daemon_changed
  end

  test "it detaches with a word, when there is somebody to hear it" do
    {m, [{:send, message}]} = Machine.handle(attached(0), {:detach, "done"}, 5)
    assert {:detach, %{why: "done"}} = said(message)
    assert {_, []} = Machine.handle(m, {:wake, 0, 0}, 10_000)
    assert {_, [:hang_up]} = Machine.handle(Machine.new(@hello), {:detach, "done"}, 5)
    {opening, _} = Machine.handle(Machine.new(@hello), :start, 0)
    assert {_, [{:send, _}]} = Machine.handle(opening, {:detach, "done"}, 5)
  end

  test "whatever comes in whatever order, it wakes up again and never opens twice at a time" do
    for seed <- 1..200 do
      :rand.seed(:exsss, {seed, 0, 0})
      {m, effects} = Machine.handle(Machine.new(@hello), :start, 0)
      wander(m, 0, opened(effects, 0, seed), 150, seed)
    end
  end

  defp wander(_m, _now, _open, 0, _seed), do: :ok

  defp wander(m, now, open, left, seed) do
    now = now + :rand.uniform(2_000)
    {happening, open} = any(now, open)
    {m, effects} = Machine.handle(m, happening, now)
    open = opened(effects, open, seed)
    assert m.phase == :left or Machine.wake_at(m) != nil, "seed #{seed} sleeps for ever after #{inspect(happening)}"
    if m.phase == :resting, do: assert(open == 0, "seed #{seed} rests with an open line")
    wander(m, now, open, left - 1, seed)
  end

  defp any(now, open) do
    case :rand.uniform(7) do
      1 ->
        {{:wake, 0, now * 1000}, open}

      2 ->
        {:wake, open}

      3 when open == 1 ->
        {{:closed, Enum.random([:ended, %Error{reason: :lease_expired}, %Error{reason: :other_mode}])}, 0}

      4 when open == 1 ->
        {{:message, %ToClient{part: {:granted, %Granted{lease: "l", epoch: now, run: "d"}}}, now * 1000}, open}

      5 when open == 1 ->
        {{:message, %ToClient{part: {:beat, %Beat{sequence: now}}}, now * 1000}, open}

      6 ->
        {{:refused_call, {"l", now}}, open}

      _ ->
        {:wake, open}
    end
  end

  defp opened(effects, open, seed) do
    Enum.reduce(effects, open, fn
      {:open, _}, 0 -> 1
      {:open, _}, 1 -> flunk("seed #{seed} opens a second line")
      :hang_up, _ -> 0
      _, open -> open
    end)
  end

  defp run(m, from, to) do
    Enum.reduce(from..to, {m, []}, fn now, {m, all} ->
      if now >= Machine.wake_at(m) do
        {m, effects} = Machine.handle(m, {:wake, 0, now * 1000}, now)
        {m, all ++ effects}
      else
        {m, all}
      end
    end)
  end

  defp attached(now) do
    {m, _} = Machine.handle(Machine.new(@hello), :start, now)
    {m, _} = granted(m, now)
    m
  end

  defp granted(m, now, granted \\ %Granted{lease: "l", epoch: 1, run: "d"}) do
    granted = %{granted | interval: %Duration{seconds: 1}, ttl: %Duration{seconds: 10}}
    Machine.handle(m, {:message, %ToClient{part: {:granted, granted}}, now * 1000}, now)
  end

  defp beat(m, beat, now, us), do: Machine.handle(m, {:message, %ToClient{part: {:beat, beat}}, us}, now)
  defp us(us), do: %Duration{seconds: div(us, 1_000_000), nanos: rem(us, 1_000_000) * 1000}

  defp said(data) do
    {:ok, %FromClient{part: part}} = FromClient.decode(IO.iodata_to_binary(data))
    part
  end
end
