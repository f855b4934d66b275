defmodule Sidewinder.Wire.H2Test do
  @moduledoc "The machine of HTTP/2, without a socket: every trap by itself."
  use ExUnit.Case, async: true
  import Sidewinder.Bytes
  alias Sidewinder.Wire.{H2, Hpack}

  @fields [{:index, ":method", "POST"}, {:index, ":path", "/a/b"}]
  @opts [window: 100_000, connection_window: 200_000, fields_max: 65_536]

  # A machine that has its settings; nothing is left to be said.
  defp settled(theirs \\ [], ours \\ []) do
    machine = H2.new(Keyword.merge(@opts, ours)) |> H2.receive(settings(theirs))
    {[:settled], _, machine} = H2.take(machine)
    machine
  end

  defp open(machine, bytes \\ "", fin \\ true),
    do: H2.open(machine, {:known, @fields}, [], [bytes], byte_size(bytes), fin)

  # What was said, as the peer reads it.
  defp said(machine, table \\ Hpack.new()) do
    {events, out, machine} = H2.take(machine)
    {frames, "", table} = parse(IO.iodata_to_binary(out), table)
    {events, frames, machine, table}
  end

  defp hear(machine, bytes) do
    {events, frames, machine, _} = machine |> H2.receive(IO.iodata_to_binary(bytes)) |> said()
    {events, frames, machine}
  end

  defp broken(machine, bytes) do
    {events, frames, machine} = hear(machine, bytes)
    assert {:broken, code, why} = List.last(events)
    assert {:goaway, 0, _, ^why} = List.last(frames)
    assert H2.room(machine) == :never
    # It takes nothing more.
    assert {[], [], ^machine} = hear(machine, settings())
    code
  end

  test "it greets with the preface, its settings and a wider window, and pushes nothing" do
    {[], out, machine} = H2.take(H2.new(@opts))

    assert {[:preface, {:settings, [{2, 0}, {4, 100_000}, {6, 65_536}]}, {:window, 0, 134_465}], "", _} =
             parse(IO.iodata_to_binary(out), Hpack.new())

    assert H2.room(machine) == :later
    assert {[:settled], [:settings_ack], machine} = hear(machine, settings())
    assert H2.room(machine) == :yes
  end

  test "an answer comes as fields, data and an end" do
    {1, machine} = open(settled(), message("hello"))
    {_, [{:fields, 1, fields, false}, {:data, 1, asked, true}], machine, _} = said(machine)
    assert fields == [{":method", "POST"}, {":path", "/a/b"}] and asked == message("hello")
    {bytes, _} = answer(1, "world", Hpack.new())
    {events, [], machine} = hear(machine, bytes)
    world = message("world")

    assert [{:fields, 1, _, false}, {:data, 1, ^world, 10}, {:fields, 1, [{"grpc-status", "0"}], true}, {:end, 1}] =
             events

    assert machine.streams == %{}
  end

  test "bytes may be split anywhere" do
    {one, table} = answer(1, String.duplicate("x", 300), Hpack.new(), [{"date", "today"}])
    {three, _} = refusal(3, 5, "not found", table)
    bytes = settings(window: 70_000) <> ping("12345678") <> one <> window(0, 10) <> three <> reset(5, 8) <> goaway(5)
    machine = H2.new(@opts) |> H2.receive(settings())
    machine = Enum.reduce(1..3, machine, fn _, machine -> elem(open(machine), 1) end)
    {_, _, machine} = H2.take(machine)

    whole = machine |> H2.receive(bytes) |> H2.take()

    # At every place once, and at all places at once.
    for at <- 1..(byte_size(bytes) - 1) do
      <<first::binary-size(at), second::binary>> = bytes
      assert together(machine |> H2.receive(first) |> H2.receive(second) |> H2.take()) == together(whole)
    end

    apart = for(<<byte <- bytes>>, do: <<byte>>) |> Enum.reduce(machine, &H2.receive(&2, &1)) |> H2.take()
    assert together(apart) == together(whole)
    assert {:reset, 5, :cancel} in elem(whole, 0)
  end

  test "an answer that comes as a whole is what it is frame by frame, however unusual" do
    opts = [window: 1_000, connection_window: 65_535, fields_max: 500]
    {1, waiting} = open(settled([], opts))
    {_, _, waiting} = H2.take(waiting)
    {3, talking} = H2.open(waiting, {:known, @fields}, [], [], 0, false)
    {begun, table} = fields(1, begun(), false, Hpack.new())
    {trailers, _} = fields(1, [{"grpc-status", "0"}], true, table)
    {moment, _} = fields(1, [{":status", "100"}], false, Hpack.new())
    {none, _} = fields(1, [{"x", "y"}], false, Hpack.new())
    {large, _} = fields(1, [{":status", "200"}, {"x", String.duplicate("\x01", 600)}], false, Hpack.new())
    wrong = frame(1, 5, 1, <<0xFF>>)
    hello = data(1, message("hello"))

    other =
      for <<size::24, kind, flags, _::32, rest::binary>> <- [begun, hello, trailers],
          do: <<size::24, kind, flags, 3::32, rest::binary>>

    unusual = [
      [begun, hello, trailers],
      [begun, data(1, ""), trailers],
      [begun, data(1, String.duplicate("x", 1_001)), trailers],
      [begun, data(1, String.duplicate("x", 16_385)), trailers],
      [moment, hello, trailers],
      [none, hello, trailers],
      [large, hello, trailers],
      [begun, hello, frame(1, 5, 1, large)],
      [wrong, hello, trailers],
      [begun, hello, wrong],
      [begun, hello, trailers, begun, hello, trailers],
      other,
      for(frame <- other, do: String.replace(frame, <<3::32>>, <<5::32>>))
    ]

    for machine <- [waiting, talking, H2.reset(waiting, 1, :cancel)], frames <- unusual do
      apart = frames |> Enum.reduce(machine, &H2.receive(&2, &1)) |> H2.take()
      assert machine |> H2.receive(IO.iodata_to_binary(frames)) |> H2.take() |> together() == together(apart)
    end

    assert {[{:fields, 1, _, false}, {:data, 1, _, 10}, {:fields, 1, _, true}, {:end, 1}], _, %{streams: streams}} =
             waiting |> H2.receive(IO.iodata_to_binary(hd(unusual))) |> H2.take()

    assert streams == %{}
  end

  defp together({events, out, machine}), do: {events, IO.iodata_to_binary(out), machine}

  describe "after a cancel" do
    test "late fields are still decoded, because the table is the connection's" do
      {1, machine} = open(settled())
      {3, machine} = open(machine)
      {_, _, machine} = machine |> H2.reset(1, :cancel) |> H2.take()
      {late, table} = answer(1, "late", Hpack.new(), [{"x-new", "entry"}])
      {good, _} = answer(3, "good", table, [{"x-new", "entry"}])
      {events, [], machine} = hear(machine, late <> good)
      assert [{:fields, 3, fields, false}, {:data, 3, _, _}, {:fields, 3, _, true}, {:end, 3}] = events
      assert {"x-new", "entry"} in fields
      assert H2.room(machine) == :yes
    end

    test "late data counts against the window of the connection, which is refilled" do
      machine = settled()

      {machine, credited} =
        Enum.reduce(1..300, {machine, 0}, fn number, {machine, credited} ->
          {id, machine} = open(machine)
          {_, _, machine} = machine |> H2.reset(id, :cancel) |> H2.take()
          assert id == 2 * number - 1
          {[], frames, machine} = hear(machine, data(id, String.duplicate("x", 10_000)))
          {machine, credited + Enum.sum(for {:window, 0, more} <- frames, do: more)}
        end)

      assert credited in 2_900_000..3_000_000
      assert H2.room(machine) == :yes
    end

    test "late resets and windows are nobody's business" do
      {1, machine} = open(settled())
      {_, _, machine} = machine |> H2.reset(1, :cancel) |> H2.take()
      assert {[], [], _} = hear(machine, reset(1, 8) <> window(1, 100) <> data(1, "", true))
    end
  end

  describe "windows for what is said" do
    test "what does not fit waits, and is told when it went" do
      {1, machine} = open(settled(window: 10), "0123456789abcdef", false)
      {events, frames, machine, _} = said(machine)
      assert events == [{:sent, 1, 10}]
      assert [{:fields, 1, _, false}, {:data, 1, "0123456789", false}] = frames
      assert {[{:sent, 1, 4}], [{:data, 1, "abcd", false}], machine} = hear(machine, window(1, 4))
      assert {[{:sent, 1, 2}], [{:data, 1, "ef", false}], _} = hear(machine, window(1, 100))
    end

    test "an end is said although the window is used up exactly" do
      {1, machine} = open(settled(window: 10), "0123456789", false)
      {_, [_, {:data, 1, "0123456789", false}], machine, _} = said(machine)
      {_, frames, _, _} = machine |> H2.send_data(1, [], 0, true) |> said()
      assert frames == [{:data, 1, "", true}]

      {1, machine} = open(settled(window: 10), "0123456789", true)
      assert {_, [_, {:data, 1, "0123456789", true}], _, _} = said(machine)

      # The same where the window of the connection is what is used up.
      {1, machine} = open(settled(window: 100_000), :binary.copy("x", 65_535), false)
      {_, _, machine, _} = said(machine)
      assert machine.send_window == 0
      assert {_, [{:data, 1, "", true}], _, _} = machine |> H2.send_data(1, [], 0, true) |> said()
    end

    test "many small messages that are said together make one frame" do
      {1, machine} = open(settled(), "", false)
      {_, _, machine, _} = said(machine)
      assert H2.out_size(machine) == 0
      machine = Enum.reduce(1..100, machine, fn _, machine -> H2.send_data(machine, 1, ["m"], 1, false) end)
      assert H2.out_size(machine) >= 100
      {events, frames, _, _} = machine |> H2.send_data(1, [], 0, true) |> said()
      assert frames == [{:data, 1, :binary.copy("m", 100), true}]
      assert events == [{:sent, 1, 100}]
    end

    test "an end waits behind what waits" do
      {1, machine} = open(settled(window: 4), "012345", false)
      {_, _, machine, _} = machine |> H2.send_data(1, [], 0, true) |> said()
      assert {_, [{:data, 1, "45", true}], _} = hear(machine, window(1, 2))
    end

    test "a smaller window for everybody may leave less than nothing" do
      {1, machine} = open(settled(window: 10), "0123456789abcdef")
      {_, _, machine, _} = said(machine)
      assert {[:room], [:settings_ack], machine} = hear(machine, settings(window: 5))
      assert {[], [], machine} = hear(machine, window(1, 5))
      assert {[], [{:data, 1, "a", false}], machine} = hear(machine, window(1, 1))

      assert {[:room], [{:data, 1, "bcdef", true}, :settings_ack], _} = hear(machine, settings(window: 50))
    end

    test "who waits for the connection takes turns, so that the large do not hold up the small" do
      machine = settled(window: 1_000_000)
      {1, machine} = open(machine, String.duplicate("L", 200_000))
      {3, machine} = open(machine, String.duplicate("s", 100))
      {_, _, machine, _} = said(machine)
      {_, frames, _} = hear(machine, window(0, 40_000))

      assert [{1, 16_384}, {3, 100}, {1, 16_384}, {1, 7_132}] =
               for({:data, id, bytes, _} <- frames, do: {id, byte_size(bytes)})
    end

    test "frames are as large as everybody takes, whatever the peer offers" do
      {1, machine} = open(settled(window: 60_000, frame: 1_000_000), String.duplicate("x", 40_000))
      {_, frames, _, _} = said(machine)
      assert [16_384, 16_384, 7_232] = for({:data, 1, bytes, _} <- frames, do: byte_size(bytes))
    end

    test "fields that are larger than a frame go on in others" do
      large = for number <- 1..20, do: {:plain, "x-#{number}", String.duplicate("\x01", 1_000)}
      {1, machine} = H2.open(settled(), {:known, []}, large, [], 0, true)
      {_, out, _} = H2.take(machine)
      {frames, "", _} = parse(IO.iodata_to_binary(out), Hpack.new())
      assert [{:part, 1, 1, 1, first}, {:part, 9, 4, 1, second}] = frames
      assert {:ok, read, _} = Hpack.decode(first <> second, Hpack.new(), 100_000)
      assert length(read) == 20
    end
  end

  describe "windows for what is heard" do
    test "the connection's is refilled on receipt, a stream's when its reader has consumed" do
      {1, machine} = open(settled())
      {_, _, machine} = H2.take(machine)
      {head, _} = fields(1, begun(), false, Hpack.new())
      {_, [], machine} = hear(machine, head)
      full = for _ <- 1..10, do: data(1, String.duplicate("x", 10_000))
      {events, frames, machine} = hear(machine, full)
      assert length(events) == 10
      assert frames == [{:window, 0, 100_000}]
      {_, frames, machine, _} = machine |> H2.credit(1, 10_000) |> said()
      assert frames == []
      {_, frames, machine, _} = machine |> H2.credit(1, 15_000) |> said()
      assert frames == [{:window, 1, 25_000}]
      # Exactly that much may come, and not a byte more.
      assert {[{:data, 1, _, 12_500}], _, machine} = hear(machine, data(1, String.duplicate("x", 12_500)))
      assert {[_], _, _} = hear(machine, data(1, String.duplicate("x", 12_500)))
      assert broken(machine, data(1, String.duplicate("x", 12_501))) == :flow_control_error
    end

    test "padding counts, and is given back with the data" do
      {1, machine} = open(settled())
      {head, _} = fields(1, begun(), false, Hpack.new())
      {_, _, machine} = hear(machine, head)
      padded = frame(0, 0x8, 1, [<<5>>, "data", <<0::40>>])
      assert {[{:data, 1, "data", 10}], [], _} = hear(machine, padded)
    end

    test "empty frames are no data" do
      {1, machine} = open(settled())
      {head, _} = fields(1, begun(), false, Hpack.new())

      assert {[{:fields, 1, _, false}, {:end, 1}], [{:fields, 1, _, true}], _} =
               hear(machine, [head, data(1, ""), data(1, "", true)])
    end
  end

  test "a call whose answer is over before its question is given up on our side" do
    {1, machine} = open(settled(), "", false)
    {_, _, machine} = H2.take(machine)
    {bytes, _} = refusal(1, 3, "no", Hpack.new())
    assert {[{:fields, 1, _, true}, {:end, 1}], [{:reset, 1, 8}], machine} = hear(machine, bytes)
    assert machine.streams == %{}
  end

  test "one moment, please: informational fields are no answer" do
    {1, machine} = open(settled())
    {_, _, machine} = H2.take(machine)
    {wait, table} = fields(1, [{":status", "103"}, {"link", "x"}], false, Hpack.new())
    {good, _} = answer(1, "good", table)
    assert {[{:fields, 1, [{":status", "200"} | _], false} | _], [], _} = hear(machine, wait <> good)
  end

  test "no more streams than the peer takes at once" do
    machine = settled(streams: 2)
    {1, machine} = open(machine)
    {3, machine} = open(machine)
    assert H2.room(machine) == :later
    {bytes, _} = answer(1, "", Hpack.new())
    {_, _, machine} = hear(machine, bytes)
    assert H2.room(machine) == :yes
    {[:room], _, machine} = hear(machine, settings(streams: 0))
    assert H2.room(machine) == :later
  end

  test "no stream beyond the last number" do
    {id, machine} = open(%{settled() | next_id: 0x7FFF_FFFF})
    assert id == 0x7FFF_FFFF
    assert H2.room(machine) == :never
  end

  test "going away: later streams were not looked at, earlier ones go on" do
    machine = Enum.reduce(1..3, settled(), fn _, machine -> machine |> open() |> elem(1) end)
    {_, _, machine} = H2.take(machine)
    {events, [], machine} = hear(machine, goaway(3, 0, "age"))
    assert events == [{:away, :no_error, "age"}, {:unprocessed, 5}]
    assert H2.room(machine) == :never
    {bytes, _} = answer(3, "good", Hpack.new())
    assert {[{:fields, 3, _, _} | _], [], machine} = hear(machine, bytes)
    # The second goodbye says how far it really came.
    assert {[{:away, _, _}, {:unprocessed, 1}], [], _} = hear(machine, goaway(0))
  end

  test "a question is answered" do
    assert {[], [{:pong, "12345678"}], machine} = hear(settled(), ping("12345678"))
    assert {[{:pong, "abcdefgh"}], [], _} = hear(machine, ping("abcdefgh", true))
  end

  test "unknown frames, priorities and unknown settings mean nothing" do
    assert {[], [], machine} = hear(settled(), [frame(0xEE, 0xFF, 1, "?"), frame(2, 0, 1, <<0::40>>)])
    assert {[:room], [:settings_ack], _} = hear(machine, frame(4, 0, 0, <<99::16, 7::32>>))
  end

  describe "what breaks the connection" do
    for {what, code, bytes} <- [
          {"a stream that was never opened", :protocol_error, quote(do: reset(7, 8))},
          {"fields for a stream that was never opened", :protocol_error, quote(do: frame(1, 5, 7, <<0x88>>))},
          {"data for a stream that was never opened", :protocol_error, quote(do: data(7, "x"))},
          {"a stream of the server", :protocol_error, quote(do: data(2, "x"))},
          {"a push", :protocol_error, quote(do: frame(5, 4, 1, <<0::32>>))},
          {"a frame that is too large", :frame_size_error, quote(do: <<16_385::24, 0, 0, 1::32>>)},
          {"a PING of a wrong size", :frame_size_error, quote(do: frame(6, 0, 0, "1234"))},
          {"a PING on a stream", :frame_size_error, quote(do: frame(6, 0, 1, "12345678"))},
          {"SETTINGS of a wrong size", :frame_size_error, quote(do: frame(4, 0, 0, "12345"))},
          {"a RST_STREAM of a wrong size", :frame_size_error, quote(do: frame(3, 0, 1, "12345"))},
          {"a window beyond its bound", :flow_control_error, quote(do: window(0, 0x7FFF_FFFF))},
          {"a window wider by nothing", :protocol_error, quote(do: window(0, 0))},
          {"an initial window beyond its bound", :flow_control_error, quote(do: settings(window: 0x8000_0000))},
          {"a frame size out of bounds", :protocol_error, quote(do: settings(frame: 100))},
          {"a continuation of nothing", :protocol_error, quote(do: frame(9, 4, 1, ""))},
          {"an interrupted block of fields", :protocol_error, quote(do: frame(1, 0, 1, "") <> ping("12345678"))},
          {"a block of another stream", :protocol_error, quote(do: frame(1, 0, 1, "") <> frame(9, 4, 3, ""))},
          {"fields that cannot be read", :compression_error, quote(do: frame(1, 4, 1, <<0x80>>))},
          {"more padding than frame", :protocol_error, quote(do: frame(0, 8, 1, <<9, 0>>))},
          {"a block of too many frames", :enhance_your_calm,
           quote(do: frame(1, 0, 1, "") <> :binary.copy(frame(9, 0, 1, ""), 70))},
          {"a block of too many bytes", :enhance_your_calm,
           quote(do: frame(1, 0, 1, "") <> :binary.copy(frame(9, 0, 1, :binary.copy("x", 16_000)), 5))}
        ] do
      test what do
        {1, machine} = open(settled())
        {_, _, machine} = H2.take(machine)
        assert broken(machine, unquote(bytes)) == unquote(code)
      end
    end

    test "anything before SETTINGS" do
      for bytes <- [ping("12345678"), settings_ack(), "HTTP/1.1 400 Bad Request\r\n\r\n"] do
        {_, _, machine} = H2.take(H2.new(@opts))
        assert broken(machine, bytes) in [:protocol_error, :frame_size_error]
      end
    end
  end

  describe "what breaks a stream only" do
    test "data before fields, second fields that do not end it, a window wider by nothing" do
      for bytes <- [data(1, "x"), window(1, 0), window(1, 0x7FFF_FFFF), two_heads()] do
        {1, machine} = open(settled())
        {_, _, machine} = H2.take(machine)
        {events, frames, machine} = hear(machine, bytes)
        assert List.last(events) == {:reset, 1, :protocol_error}
        assert frames == [{:reset, 1, 1}]
        assert H2.room(machine) == :yes
      end
    end

    defp two_heads do
      {first, table} = fields(1, begun(), false, Hpack.new())
      {second, _} = fields(1, begun(), false, table)
      first <> second
    end
  end

  test "nonsense breaks the machine or is taken, and never raises" do
    Sidewinder.Chance.many("nonsense", 3_000, fn ->
      {1, machine} = open(settled())

      noise =
        for _ <- 1..:rand.uniform(8) do
          frame(:rand.uniform(11) - 1, :rand.uniform(256) - 1, :rand.uniform(6) - 1, :rand.bytes(:rand.uniform(30) - 1))
        end

      {_, _, machine} = machine |> H2.receive(IO.iodata_to_binary(noise)) |> H2.take()
      assert machine.phase in [:settled, :broken]
    end)
  end
end
