defmodule Sidewinder.Wire.HpackOracleTest do
  @moduledoc """
  Header compression against an implementation that others wrote: `cow_hpack` of cowlib, which Debian ships inside the
  package rabbitmq-server. `COWLIB` names its folder of compiled modules; `tests/setup.sh` puts it where this test looks.
  """
  use ExUnit.Case, async: true
  @compile {:no_warn_undefined, :cow_hpack}

  @found Enum.find(
           [System.get_env("COWLIB"), Path.expand("../../_build/cowlib/ebin", __DIR__)],
           &(&1 && File.exists?(Path.join(&1, "cow_hpack.beam")))
         )

  if @found do
    setup_all do
      Code.append_path(@found)
      :ok
    end

    test "it reads what we write, block after block" do
      Sidewinder.Chance.many("ours to theirs", 200, fn ->
        Enum.reduce(1..20, {Sidewinder.Wire.Hpack.new(), :cow_hpack.init(4096)}, fn _, {ours, theirs} ->
          fields = fields()
          modes = for {name, value} <- fields, do: {Enum.random([:index, :index, :plain, :never]), name, value}
          {block, ours} = Sidewinder.Wire.Hpack.encode(modes, ours)
          {read, theirs} = :cow_hpack.decode(IO.iodata_to_binary(block), theirs)
          assert read == fields
          {ours, theirs}
        end)
      end)
    end

    test "we read what it writes, block after block" do
      Sidewinder.Chance.many("theirs to ours", 200, fn ->
        Enum.reduce(1..20, {Sidewinder.Wire.Hpack.new(), :cow_hpack.init(4096)}, fn _, {ours, theirs} ->
          fields = fields()
          huffman = %{huffman: Enum.random([true, false])}
          {block, theirs} = :cow_hpack.encode(fields, theirs, huffman)
          assert {:ok, ^fields, ours} = Sidewinder.Wire.Hpack.decode(IO.iodata_to_binary(block), ours, 1_000_000)
          {ours, theirs}
        end)
      end)
    end

    defp fields, do: for(_ <- 1..:rand.uniform(12), do: field())

    defp field do
      name = Enum.random([":status", "content-type", "grpc-status", "date", "x-#{:rand.uniform(30)}"])
      {name, Enum.random(["", "200", "application/grpc", :rand.bytes(:rand.uniform(200)), "v#{:rand.uniform(9)}"])}
    end
  else
    IO.puts(
      "hpack: no cow_hpack here, so nothing was compared with it (tests/setup.sh gets it, or COWLIB names its folder)"
    )
  end
end
